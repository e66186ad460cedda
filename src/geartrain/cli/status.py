"""`geartrain status`: the functions of the job servers, or how far one job is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GeartrainError
from .exits import ExitCode, complain, fail
from .help import examples
from .output import JsonOption, WatchOption, printable, repeat, show_json, show_table
from .servers import ServerOption, ask_each, end_with, servers_of

if TYPE_CHECKING:
    from ..client import Admin, Client, JobStatus

app = typer.Typer()


@app.command(
    epilog=examples(
        "geartrain status",
        "geartrain status --watch 1",
        "geartrain status H:myhost:1732459863000001  # a job, by the handle that submit --background printed",
        "geartrain status --unique report-2026-11  # a job, by its unique",
        r"geartrain status | awk -F'\t' '$2 > 100 {print $1}'  # functions with more than 100 jobs waiting",
    )
)
def status(
    handle: Annotated[str, typer.Argument(metavar="HANDLE", help="A job's handle.", show_default=False)] = "",
    unique: Annotated[
        str,
        typer.Option("--unique", "-u", metavar="UNIQUE", help="A job's unique, instead.", show_default=False),
    ] = "",
    server: ServerOption = None,
    watch: WatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each function has waiting and running, and how many workers; or how far one job is.

    In a pipe each function is a line of FUNCTION, QUEUED, RUNNING and WORKERS, with tabs between them; with
    several servers the server's address comes first. A server whose journal fails is named on stderr.

    A job that no server knows has ended, or never was. Then --watch ends, and the exit code is 1.
    """
    servers = servers_of(server)
    if handle and unique:
        fail("a handle or a unique, not both", ExitCode.USAGE)
    if not handle and not unique:
        repeat(watch, lambda: _show_functions(servers, as_json))
        return

    from ..client import Client

    with Client(servers) as client:
        repeat(watch, lambda: _show_job(client, handle, unique, as_json))


def _show_functions(servers: list[str], as_json: bool) -> bool:
    answers = ask_each(servers, lambda admin: (admin.status(), _trouble(admin)))
    rows = [
        {
            "server": server,
            "function": row.function,
            "queued": row.queued,
            "running": row.running,
            "workers": row.workers,
        }
        for server, (functions, _) in answers.items()
        for row in functions
    ]
    if as_json:
        show_json(rows)
    else:
        names = ["Server", "Function", "#Queued", "#Running", "#Workers"]
        first = 0 if len(servers) > 1 else 1
        show_table(names[first:], [list(row.values())[first:] for row in rows], "No function is known.")
    for server, (_, trouble) in answers.items():
        if trouble:
            complain(f"{server}: the journal fails, and new background jobs are refused: {trouble}")
    end_with(servers, answers)
    return True


def _trouble(admin: Admin) -> str:
    """Why the server's journal fails; empty if it does not, or if the server can't tell, as gearmand."""
    try:
        return admin.journal_trouble()
    except GeartrainError:
        return ""


def _show_job(client: Client, handle: str, unique: str, as_json: bool) -> bool:
    answer = client.status(unique=unique) if unique else client.status(handle)
    if as_json:
        named = {"unique": unique} if unique else {"handle": handle}
        show_json(named | {name: value for name, value in answer._asdict().items() if value is not None})
    elif answer.known:
        typer.echo(f"{printable(unique or handle)}: {describe(answer)}")
    if not answer.known:
        fail(f"{printable(unique or handle)}: {describe(answer)}")
    return True


def describe(status: JobStatus) -> str:
    """How far a job is, in words."""
    if not status.known:
        return "not known: it has ended, or never was"
    words = "running" if status.running else "queued"
    if status.denominator:
        part = 100 * status.numerator / status.denominator
        words += f", {status.numerator} of {status.denominator} ({part:.0f} %)"
    if status.clients is not None:
        words += f", {status.clients} waiting for it"
    return words
