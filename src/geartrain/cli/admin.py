"""`geartrain admin …`: what gearadmin does, and what it can't."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..errors import ServerError
from .asking import ask
from .exits import ExitCode, complain, fail
from .help import examples
from .output import JsonOption, WatchOption, printable, repeat, show_json, show_table
from .servers import ServerOption, ask_each, end_with, servers_of

if TYPE_CHECKING:
    from ..client import Admin

LEVELS: Final = "DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL, ALERT and FATAL"
"""What can be logged from, in gearmand's words."""

ASK_FROM: Final = 100
"""Jobs that are cancelled without a question."""

app = typer.Typer(
    name="admin",
    no_args_is_help=True,
    help="Look into a job server and change what it does; any that speaks Gearman's text protocol.",
    epilog=examples(
        "geartrain admin priorities --watch 1",
        "geartrain admin cancel H:myhost:1732459863000001",
        "geartrain admin max-queue resize 1000  # further jobs are refused with QUEUE_ERROR",
        "geartrain admin shutdown --graceful --server queue.example.org",
    ),
)


def _table(
    servers: list[str], columns: list[str], answers: Mapping[str, Sequence[tuple[object, ...]]]
) -> None:
    """Rows by server; with one server its column is left out."""
    first = 0 if len(servers) > 1 else 1
    rows = [(at, *row)[first:] for at, found in answers.items() for row in found]
    show_table(["Server", *columns][first:], rows, "There is nothing.")


def _show_answers(given: list[str] | None, question: Callable[[Admin], str]) -> None:
    """One word from each server."""
    servers = servers_of(given)
    answers = ask_each(servers, question)
    for at, answer in answers.items():
        typer.echo(f"{at}\t{answer}" if len(servers) > 1 else answer)
    end_with(servers, answers)


def _explained(error: ServerError, meaning: str) -> ServerError:
    """A refusal with what it means here, which the server's words leave open."""
    return ServerError(error.code, "; ".join(filter(None, (error.text, meaning))))


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


_Function = Annotated[str, typer.Argument(metavar="FUNCTION", show_default=False)]


@app.command()
def priorities(server: ServerOption = None, watch: WatchOption = None, as_json: JsonOption = False) -> None:
    """Show what each function has waiting, by priority."""
    servers = servers_of(server)

    def show() -> bool:
        answers = ask_each(servers, lambda admin: admin.priority_status())
        if as_json:
            show_json([{"server": at, **row._asdict()} for at, rows in answers.items() for row in rows])
        else:
            columns = ["Function", "#High", "#Normal", "#Low", "#Workers"]
            _table(servers, columns, {at: [tuple(row) for row in rows] for at, rows in answers.items()})
        end_with(servers, answers)
        return True

    repeat(watch, show)


@app.command()
def jobs(server: ServerOption = None, watch: WatchOption = None, as_json: JsonOption = False) -> None:
    """Show every job: its handle, how often it lost its worker, whether it is cancelled or background."""
    servers = servers_of(server)

    def show() -> bool:
        answers = ask_each(servers, lambda admin: admin.jobs())
        if as_json:
            show_json([{"server": at, **row._asdict()} for at, rows in answers.items() for row in rows])
        else:
            rows = {
                at: [(row.handle, row.returns, _yes(row.cancelled), _yes(row.background)) for row in rows]
                for at, rows in answers.items()
            }
            _table(servers, ["Handle", "#Returns", "Cancelled", "Background"], rows)
        end_with(servers, answers)
        return True

    repeat(watch, show)


@app.command()
def uniques(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """Show the uniques of the jobs that have one."""
    servers = servers_of(server)
    answers = ask_each(servers, lambda admin: list(filter(None, admin.unique_jobs())))
    if as_json:
        show_json([{"server": at, "unique": unique} for at, found in answers.items() for unique in found])
    else:
        _table(servers, ["Unique"], {at: [(unique,) for unique in found] for at, found in answers.items()})
    end_with(servers, answers)


class JobState(StrEnum):
    """Which jobs to cancel."""

    QUEUED = "queued"
    DELAYED = "delayed"
    ALL = "all"


@app.command(
    epilog=examples(
        "geartrain admin cancel H:myhost:1732459863000001 H:myhost:1732459863000002",
        "geartrain admin cancel --function report",
        "geartrain admin cancel --function report --state all --yes",
        "geartrain admin cancel --unique 'user-17-*'",
    )
)
def cancel(
    handles: Annotated[
        list[str] | None, typer.Argument(metavar="HANDLE", help="Their handles.", show_default=False)
    ] = None,
    function: Annotated[
        str, typer.Option("--function", "-f", help="Jobs of this function.", show_default=False)
    ] = "",
    state: Annotated[
        JobState, typer.Option(help="Jobs that are queued, delayed, or all, running ones included.")
    ] = JobState.QUEUED,
    unique: Annotated[
        str,
        typer.Option(
            "--unique", "-u", metavar="PATTERN", help="Jobs with such a unique.", show_default=False
        ),
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask before more than {ASK_FROM} jobs are cancelled.")
    ] = False,
    server: ServerOption = None,
) -> None:
    """Cancel jobs; their clients are told that they failed.

    A running job is over for all but its worker, which may go on. `--function` and `--unique` need
    geartrain's server; a pattern has `*`, `?` and `[...]`.
    """
    servers = servers_of(server)
    if bool(handles) == bool(function or unique):
        fail("name handles, or give --function or --unique", ExitCode.USAGE)
    if handles:
        _cancel_each(servers, handles)
        return
    wanted: dict[str, object] = {"state": state.value}
    if function:
        wanted["function"] = function
    if unique:
        wanted["unique"] = unique
    answers = _cancel_slices(servers, {**wanted, "count": True})
    count = sum(answers.values())
    if count > ASK_FROM and not yes:
        typer.confirm(f"Cancel {count:,} jobs?", abort=True)
    if count:
        answers = _cancel_slices(list(answers), wanted)
    typer.echo(f"{sum(answers.values())} cancelled")
    end_with(servers, answers)


def _cancel_each(servers: list[str], handles: list[str]) -> None:
    missing: list[str] = []

    def order(admin: Admin) -> int:
        count = 0
        for handle in handles:
            try:
                admin.cancel(handle)
                count += 1
            except ServerError as error:
                if len(handles) == 1:
                    raise _explained(error, f"no job has the handle {printable(handle)}") from None
                missing.append(handle)
        return count

    answers = ask_each(servers, order)
    if len(handles) > 1:
        typer.echo(f"{sum(answers.values())} cancelled")
    for handle in missing:
        complain(f"no job has the handle {printable(handle)}")
    if missing:
        raise typer.Exit(ExitCode.FAILED)
    end_with(servers, answers)


def _cancel_slices(servers: list[str], wanted: dict[str, object]) -> dict[str, int]:
    """Have each server cancel or count jobs in slices, between which it serves the others."""
    counts: dict[str, int] = {}
    for server in servers:
        after = -1
        while True:
            answers = ask([server], "cancel", {**wanted, "after": after})
            answer = answers[server]
            counts[server] = counts.get(server, 0) + answer["jobs"]
            if answer["after"] is None:
                break
            after = answer["after"]
    return counts


@app.command("create-function")
def create_function(function: _Function, server: ServerOption = None) -> None:
    """Make a function known that no worker announced yet."""
    servers = servers_of(server)
    end_with(servers, ask_each(servers, lambda admin: admin.create_function(function)))


@app.command("drop-function")
def drop_function(
    function: _Function,
    server: ServerOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget a function without workers, and the jobs that wait for it."""
    servers = servers_of(server)
    if not yes:
        typer.confirm(f"Drop {function} and its waiting jobs?", abort=True)
    end_with(servers, ask_each(servers, lambda admin: admin.drop_function(function)))


@app.command("max-queue")
def max_queue(
    function: _Function,
    limits: Annotated[
        list[int],
        typer.Argument(metavar="LIMIT | HIGH NORMAL LOW", min=0, help="0: no limit.", show_default=False),
    ],
    server: ServerOption = None,
) -> None:
    """Limit the jobs of a function, for all priorities or for each."""
    if len(limits) not in (1, 3):
        raise typer.BadParameter("one limit, or three: for high, normal and low priority")
    limit = limits[0] if len(limits) == 1 else (limits[0], limits[1], limits[2])
    servers = servers_of(server)
    end_with(servers, ask_each(servers, lambda admin: admin.max_queue(function, limit)))


@app.command()
def verbose(
    level: Annotated[
        str | None, typer.Argument(metavar="LEVEL", help=f"{LEVELS}.", show_default=False)
    ] = None,
    server: ServerOption = None,
) -> None:
    """Show how much the server logs, or change it while it runs."""

    def question(admin: Admin) -> str:
        try:
            return admin.verbosity(level)
        except ServerError as error:
            raise _explained(error, f"the levels are {LEVELS}") from None

    _show_answers(server, question)


@app.command()
def version(server: ServerOption = None) -> None:
    """Show the server's version."""
    _show_answers(server, lambda admin: admin.version())


@app.command()
def pid(server: ServerOption = None) -> None:
    """Show the server's process id."""
    _show_answers(server, lambda admin: str(admin.pid()))


@app.command()
def shutdown(
    graceful: Annotated[bool, typer.Option("--graceful", "-g", help="When all its jobs have ended.")] = False,
    server: ServerOption = None,
) -> None:
    """Stop the server."""
    servers = servers_of(server)
    end_with(servers, ask_each(servers, lambda admin: admin.shutdown(graceful=graceful)))
