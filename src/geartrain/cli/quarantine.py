"""`geartrain quarantine`: stored items that a job server can't use."""

from __future__ import annotations

from typing import Annotated

import typer

from .asking import ask, changed
from .help import examples
from .output import JsonOption, printable, show_json, show_table
from .servers import ServerOption, end_with, servers_of

app = typer.Typer(
    name="quarantine",
    help="Look at stored jobs, schedules and settings that the server can't use, and drop them.",
    no_args_is_help=True,
    epilog=examples("geartrain quarantine list", "geartrain quarantine drop schedule nightly"),
)


@app.command("list", epilog=examples("geartrain quarantine list --json"))
def list_(
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="As many at most.")] = 100,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the stored items that the server can't use.

    They are left as they are in the journal, and the others are served. A schedule or the settings of a
    function can be replaced by new ones; a job is dead, and can be queued again.

    In a pipe each is a line of KIND, KEY and REASON, with tabs between them; with several servers the
    server's address comes first.
    """
    servers = servers_of(server)
    answers = ask(servers, "quarantine.list", {"limit": limit})
    rows = [{"server": at, **row} for at, answer in answers.items() for row in answer]
    if as_json:
        show_json(rows)
    else:
        first = 0 if len(servers) > 1 else 1
        show_table(
            ["Server", "Kind", "Key", "Reason"][first:],
            [[row["server"], row["kind"], row["key"], row["reason"]][first:] for row in rows],
            "Every stored item can be used.",
        )
    end_with(servers, answers)


@app.command(epilog=examples("geartrain quarantine drop policy report"))
def drop(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Its kind.", show_default=False)],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its key.", show_default=False)],
    server: ServerOption = None,
) -> None:
    """Remove an item from the journal for good."""
    changed(servers_of(server), "quarantine.drop", {"kind": kind, "key": key})
    typer.echo(f"{printable(kind)} {printable(key)}: dropped")
