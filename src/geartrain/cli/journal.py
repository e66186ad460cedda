"""`geartrain journal`: a look at the file where background jobs survive, and jobs moved in and out of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import when
from .exits import ExitCode, complain, fail
from .help import examples
from .output import JsonOption, jobs, on_terminal, printable, show_json, show_table

if TYPE_CHECKING:
    from ..broker.records import Document, JobRecord

app = typer.Typer(
    name="journal",
    help="Look at the file where background jobs survive, and move jobs in and out of it.",
    no_args_is_help=True,
    epilog=examples(
        "geartrain journal inspect",
        "geartrain journal check sqlite:/var/lib/geartrain/journal.db",
        "geartrain journal export > jobs.jsonl",
        "geartrain journal import gearmand.db  # a queue of gearmand's",
        "geartrain journal compact",
    ),
)

JournalArgument = Annotated[
    str,
    typer.Argument(
        metavar="[JOURNAL]", help="sqlite:PATH, or PATH.", show_default="where serve keeps its own"
    ),
]


@app.command("inspect", epilog=examples("geartrain journal inspect jobs.db --json"))
def inspect_(journal: JournalArgument = "", as_json: JsonOption = False) -> None:
    """Show what a journal holds, also while a server uses it.

    In a pipe each function is a line of FUNCTION, QUEUED, DELAYED, DEAD and BYTES, with tabs between them.
    """
    import time

    from ..journal import offline

    found = offline.summarize(_path(journal), time.time())
    functions = {
        name.decode("utf-8", "surrogateescape"): counts for name, counts in sorted(found.functions.items())
    }
    if as_json:
        show_json({**vars(found), "functions": functions})
        return
    if on_terminal():
        used = f"in use by process {found.server}" if found.server else "not in use"
        typer.echo(
            f"{found.path}: format {found.version}, {found.size} bytes, {found.free} of them free, {used}"
        )
        if found.oldest:
            typer.echo(f"the oldest job was queued at {when(found.oldest)}")
        for kind, count in found.documents.items():
            typer.echo(f"{count} of the kind {kind}")
    show_table(
        ["Function", "#Queued", "#Delayed", "#Dead", "#Bytes"],
        [[name, *counts.values()] for name, counts in functions.items()],
        "It holds no job.",
    )


@app.command(epilog=examples("geartrain journal check jobs.db"))
def check(journal: JournalArgument = "") -> None:
    """Read everything and say what is damaged, also while a server uses it. Exit code 1 if anything is."""
    from ..journal import offline

    path = _path(journal)
    count = 0
    for sentence in offline.check(path):
        typer.echo(sentence)
        count += 1
    if count:
        fail(
            f"{path} is damaged: keep a copy, and save the rest with geartrain journal export --skip-damaged"
        )
    typer.echo(f"{path} is whole")


@app.command(
    epilog=examples(
        "geartrain journal export > jobs.jsonl",
        "geartrain journal export damaged.db --skip-damaged > saved.jsonl",
    )
)
def export(
    journal: JournalArgument = "",
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out what can't be read, and say so.")
    ] = False,
) -> None:
    """Print everything in a journal as lines of JSON, also while a server uses it."""
    from ..journal import lines, offline

    path = _path(journal)

    def whole() -> Iterator[Document | JobRecord]:
        for found in offline.everything(connection, path, skip_damaged=skip_damaged):
            if isinstance(found, str):
                complain(found)
            else:
                yield found

    with offline.reading(path) as connection:
        count = lines.write(sys.stdout, whole())
    complain(jobs(count))


@app.command(
    "import",
    epilog=examples(
        "geartrain journal import /var/lib/gearman/gearmand.db  # gearmand --libsqlite3-db",
        "geartrain journal import 'postgresql+psycopg://gearman@localhost/gearman'",
        "geartrain journal import 'mysql+pymysql://gearman@localhost/gearman' --table gearman_queue",
        "geartrain journal import jobs.jsonl --journal sqlite:jobs.db  # what export printed",
    ),
)
def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="gearmand's SQLite queue or database, a journal, or what export printed (-: stdin).",
            show_default=False,
        ),
    ],
    journal: Annotated[
        str,
        typer.Option(
            metavar="JOURNAL", help="Where to: sqlite:PATH.", show_default="where serve keeps its own"
        ),
    ] = "",
    table: Annotated[str, typer.Option(help="The table of gearmand's queue.", show_default="found")] = "",
) -> None:
    """Take jobs over into a journal, which is made if need be. Stop both servers first.

    Nothing is changed at the source. What is taken over twice is there once, but for jobs of gearmand without
    a unique. Jobs that gearmand had running are taken over, too: it never learned of their end.
    """
    from ..journal import offline

    taken, present = offline.take_over(_path(journal), _source(source, table))
    typer.echo(f"{jobs(taken)} taken over, {present} there already")


def _source(source: str, table: str) -> Iterator[Any]:
    """What there is to take over."""
    from ..journal import gearmand, lines, offline

    if "://" in source:
        yield from gearmand.read_database(source, table)
        return
    if source == "-":
        yield from lines.read(sys.stdin, "standard input")
        return
    path = source.removeprefix("sqlite:")
    if not os.path.isfile(path):
        fail(f"{path}: no such file")
    with open(path, "rb") as file:
        is_sqlite = file.read(16) == b"SQLite format 3\0"
    if not is_sqlite:
        with open(path, encoding="utf-8") as text:
            yield from lines.read(text, path)
    elif gearmand.is_queue(path):
        yield from gearmand.read_file(path, table)
    else:
        with offline.reading(path) as connection:
            yield from offline.everything(connection, path)


@app.command(epilog=examples("geartrain journal compact"))
def compact(journal: JournalArgument = "") -> None:
    """Give back the room that ended jobs took. Stop the server first."""
    from ..journal import offline

    path = _path(journal)
    before, after = offline.compact(path)
    typer.echo(f"{printable(path)}: {before} bytes before, {after} now")


def _path(journal: str) -> str:
    from ..journal import default_journal_url

    url = journal or default_journal_url()
    if url == "memory":
        fail("the memory journal is nowhere", ExitCode.USAGE)
    return os.path.abspath(os.path.expanduser(url.removeprefix("sqlite:")))
