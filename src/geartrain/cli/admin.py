"""`geartrain admin …`: what gearadmin does, and what it can't."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..errors import ServerError
from .help import examples
from .output import JsonOption, WatchOption, printable, repeat, show_json, show_table
from .servers import ServerOption, ask_each, end_with, servers_of

if TYPE_CHECKING:
    from ..client import Admin

LEVELS: Final = "DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL, ALERT and FATAL"
"""What can be logged from, in gearmand's words."""

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


@app.command()
def cancel(
    handle: Annotated[str, typer.Argument(metavar="HANDLE", show_default=False)], server: ServerOption = None
) -> None:
    """Cancel a job; its clients are told that it failed."""
    servers = servers_of(server)

    def order(admin: Admin) -> None:
        try:
            admin.cancel(handle)
        except ServerError as error:
            raise _explained(error, f"no job has the handle {printable(handle)}") from None

    end_with(servers, ask_each(servers, order))


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
