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
from .output import JsonOption, counted, jobs, on_terminal, printable, show_json, show_table

if TYPE_CHECKING:
    from ..broker.records import Document, JobRecord
    from ..journal.offline import Summary

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

_KINDS = {
    "schedule": ("schedule", "schedules"),
    "policy": ("function's settings", "functions' settings"),
    "result": ("kept outcome", "kept outcomes"),
}
"""What else a journal holds, in words."""

JournalArgument = Annotated[
    str | None,
    typer.Argument(metavar="JOURNAL", help="sqlite:PATH, or PATH.", show_default="where serve keeps its own"),
]


@app.command("inspect", epilog=examples("geartrain journal inspect jobs.db --json"))
def inspect_(journal: JournalArgument = None, as_json: JsonOption = False) -> None:
    """Show what a journal holds, also while a server uses it.

    In a pipe each function is a line of FUNCTION, QUEUED, DELAYED, DEAD and BYTES, with tabs between them.
    Exit code 1 if something can't be read, and so is not counted.
    """
    import time

    from ..journal import offline

    path = _path(journal)
    found = offline.summarize(path, time.time())
    functions = {
        name.decode("utf-8", "surrogateescape"): counts for name, counts in sorted(found.functions.items())
    }
    if as_json:
        show_json({**vars(found), "functions": functions})
    else:
        if on_terminal():
            _describe(found)
        show_table(
            ["Function", "#Queued", "#Delayed", "#Dead", "#Bytes"],
            [[name, *counts.values()] for name, counts in functions.items()],
            "It holds no job.",
        )
    if found.damage:
        fail(
            f"{path} is damaged, and not all of it was counted: geartrain journal check says what is missing"
        )


def _describe(found: Summary) -> None:
    form = f"format {found.version}" if found.version else "still empty"
    used = f"in use by process {found.server}" if found.server else "not in use"
    typer.echo(f"{printable(found.path)}: {form}, {found.size} bytes, {found.free} of them free, {used}")
    if found.oldest:
        typer.echo(f"the oldest job was queued at {when(found.oldest)}")
    for kind, count in found.documents.items():
        typer.echo(_documents(kind, count))


def _documents(kind: str, number: int) -> str:
    """A number of documents in words."""
    return counted(
        number, *_KINDS.get(kind, (f"document of the kind {kind}", f"documents of the kind {kind}"))
    )


@app.command(epilog=examples("geartrain journal check jobs.db"))
def check(journal: JournalArgument = None) -> None:
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
    journal: JournalArgument = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out what can't be read, and say so.")
    ] = False,
) -> None:
    """Print everything in a journal as lines of JSON, also while a server uses it."""
    from ..journal import lines, offline

    path = _path(journal)
    damage = 0

    def whole() -> Iterator[Document | JobRecord]:
        nonlocal damage
        for found in offline.everything(connection, path, skip_damaged=skip_damaged):
            if isinstance(found, str):
                complain(found)
                damage += 1
            else:
                yield found

    with offline.reading(path, damaged=skip_damaged) as connection:
        count = lines.write(sys.stdout, whole())
    complain(jobs(count))
    if damage and not count:
        fail(f"no job in {path} can be read: put a copy back, or see what `sqlite3 {path} .recover` finds")


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
            metavar="SOURCE",
            help="gearmand's SQLite queue or database, a journal, or what export printed (-: stdin).",
            show_default=False,
        ),
    ],
    journal: Annotated[
        str | None,
        typer.Option(
            metavar="JOURNAL", help="Where to: sqlite:PATH.", show_default="where serve keeps its own"
        ),
    ] = None,
    table: Annotated[str, typer.Option(help="The table of gearmand's queue.", show_default="found")] = "",
) -> None:
    """Take jobs over into a journal, which is made if need be. Stop both servers first.

    Nothing is changed at the source. What is taken over twice is there once, but for jobs of gearmand without
    a unique. Jobs that gearmand had running are taken over, too: it never learned of their end.
    """
    from ..journal import offline

    taken = offline.take_over(_path(journal), _source(source, table))
    others = [_documents(kind, count) for kind, count in sorted(taken.documents.items())]
    typer.echo(
        f"{jobs(taken.jobs)} taken over, {taken.present:,} there already"
        + (f"; with them {', '.join(others)}" if others else "")
    )


def _source(source: str, table: str) -> Iterator[Any]:
    """What there is to take over."""
    from ..journal import gearmand, lines, offline
    from ..journal.schema import APPLICATION_ID

    if "://" in source and not source.startswith("sqlite:///"):
        yield from gearmand.read_database(source, table)
        return
    if source == "-":
        yield from lines.read(sys.stdin, "standard input")
        return
    path = _path(source)
    if source.startswith("sqlite:///") and not os.path.exists(path):
        path = source.removeprefix("sqlite:///")  # SQLAlchemy takes what follows as relative
    if not os.path.isfile(path):
        fail(f"{path}: it is {'no file' if os.path.exists(path) else 'not there'}")
    try:
        with open(path, "rb") as file:
            head = file.read(72)
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}")
    is_journal = head[68:] == APPLICATION_ID.to_bytes(4, "big")
    if not head.startswith(b"SQLite format 3\0"):
        with open(path, encoding="utf-8") as text:
            yield from lines.read(text, path)
    elif not is_journal and gearmand.is_queue(path):
        yield from gearmand.read_file(path, table)
    else:
        with offline.reading(path) as connection:
            yield from offline.everything(connection, path)


@app.command(epilog=examples("geartrain journal compact"))
def compact(journal: JournalArgument = None) -> None:
    """Give back the room that ended jobs took. Stop the server first."""
    from ..journal import offline

    path = _path(journal)
    before, after = offline.compact(path)
    typer.echo(f"{printable(path)}: {before} bytes before, {after} now")


def _path(journal: str | None) -> str:
    from ..journal import default_journal_url

    url = default_journal_url() if journal is None else journal
    if url == "memory":
        fail("the memory journal is nowhere", ExitCode.USAGE)
    path = url.removeprefix("sqlite:")
    if not path.strip("/"):
        fail(f"{url!r} names no file", ExitCode.USAGE)
    return os.path.abspath(os.path.expanduser(path))
