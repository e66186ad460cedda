"""`geartrain function`: how the functions of a job server are treated, and how they are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .asking import ask, changed
from .exits import ExitCode, fail
from .help import examples
from .output import JsonOption, WatchOption, printable, repeat, show_json, show_table
from .servers import ServerOption, end_with, servers_of

app = typer.Typer(
    name="function",
    help="Show and change how functions are treated: attempts, delays, time-outs, bounds, kept results.",
    no_args_is_help=True,
    epilog=examples(
        "geartrain function list",
        "geartrain function set report --max-attempts 5 --backoff 'exponential 1s 10m' --timeout 30s",
        "geartrain function set thumbnail --max-queue 10000 --concurrency 20 --rate 100/s",
        "geartrain function pause report",
        "geartrain function resume report",
        "geartrain function reset report",
    ),
)

NameArgument = Annotated[str, typer.Argument(metavar="FUNCTION", help="Its name.", show_default=False)]


@app.command("list", epilog=examples("geartrain function list --watch 1", "geartrain function list --json"))
def list_(server: ServerOption = None, watch: WatchOption = None, as_json: JsonOption = False) -> None:
    """Show every function: its jobs, its workers and what was set for it.

    In a pipe each is a line of FUNCTION, WAITING, RUNNING, DELAYED, DEAD, WORKERS and SETTINGS, with tabs
    between them; with several servers the server's address comes first.
    """
    servers = servers_of(server)
    repeat(watch, lambda: _show(servers, as_json))


def _show(servers: list[str], as_json: bool) -> bool:
    answers = ask(servers, "function.list", {})
    rows = [{"server": at, **row} for at, answer in answers.items() for row in answer]
    if as_json:
        show_json(rows)
    else:
        numbers = ("waiting", "running", "delayed", "dead", "workers")
        first = 0 if len(servers) > 1 else 1
        show_table(
            ["Server", "Function", *(f"#{name.capitalize()}" for name in numbers), "Settings"][first:],
            [
                [
                    row["server"],
                    row["function"],
                    *(row[name] for name in numbers),
                    in_words(row["settings"], row.get("error", "")),
                ][first:]
                for row in rows
            ],
            "No function is known.",
        )
    end_with(servers, answers)
    return True


@app.command(
    "set", epilog=examples("geartrain function set mail --retry fail,exception --backoff 'fixed 5s'")
)
def set_(
    function: NameArgument,
    max_attempts: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Attempts of a job; then it is dead. 0: any number."),
    ] = None,
    max_timeouts: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Time-outs in a row of a job without --max-attempts; then it is given up.",
        ),
    ] = None,
    retry: Annotated[
        str | None,
        typer.Option(
            help="Ends of a background job that are worth another attempt: fail, exception, or both."
        ),
    ] = None,
    backoff: Annotated[
        str | None,
        typer.Option(
            help="The rest before another attempt: none, 'fixed 5s', 'linear 1s 1m' or 'exponential 1s 10m'."
        ),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="For an attempt, if the worker sets none, such as 30s.")
    ] = None,
    max_queue: Annotated[int | None, typer.Option(min=0, metavar="N", help="Jobs at most.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Jobs that run at a time, at most.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Jobs that start in a while, at most: 100/s, 30/m or 5/h.")
    ] = None,
    keep_results: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long a background job's outcome is kept: 1h.")
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time after which a new job expires that no worker took: 1h."),
    ] = None,
    server: ServerOption = None,
) -> None:
    """Change how a function's jobs are treated, those that are there too.

    What is not named stays as it is, and 0 takes a bound away. It outlives the server, and goes before what
    the configuration says.
    """
    wanted: dict[str, Any] = {
        "max_attempts": max_attempts,
        "max_timeouts": max_timeouts,
        "retry": retry,
        "backoff": backoff,
        "timeout": timeout,
        "max_queue": max_queue,
        "concurrency": concurrency,
        "rate": rate,
        "keep_results": keep_results,
        "max_age": max_age,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if not wanted:
        fail("nothing is to be set: see geartrain function set --help", ExitCode.USAGE)

    from ..broker.policy import Policy

    for name, value in wanted.items():
        try:
            Policy().update({name: value})
        except ValueError as error:
            sentence = str(error).removeprefix(f"{name}: ")
            fail(f"--{name.replace('_', '-')}: {sentence}", ExitCode.USAGE)
    _report(changed(servers_of(server), "function.set", {"function": function, **wanted}))


@app.command(epilog=examples("geartrain function pause report"))
def pause(function: NameArgument, server: ServerOption = None) -> None:
    """Hand out no more jobs of a function. Jobs are taken as before, and those that run go on.

    It outlives the server.
    """
    changed(servers_of(server), "function.set", {"function": function, "paused": True})
    typer.echo(f"{printable(function)}: paused")


@app.command(epilog=examples("geartrain function resume report"))
def resume(function: NameArgument, server: ServerOption = None) -> None:
    """Hand out jobs of a function again."""
    changed(servers_of(server), "function.set", {"function": function, "paused": False})
    typer.echo(f"{printable(function)}: goes on")


@app.command(epilog=examples("geartrain function reset report"))
def reset(function: NameArgument, server: ServerOption = None) -> None:
    """Take back what was set, so that the configuration says again how a function is treated."""
    _report(changed(servers_of(server), "function.reset", {"function": function}))


def _report(answers: dict[str, Any]) -> None:
    for answer in answers.values():
        typer.echo(f"{printable(answer['function'])}: {in_words(answer['settings']) or 'no settings'}")


def in_words(settings: dict[str, Any], error: str = "") -> str:
    """Settings on one line, as `set` takes them, and why stored ones can't be used."""
    words = [f"{name.replace('_', '-')} {_in_words(value)}" for name, value in settings.items()]
    if error:
        words.append(f"the stored settings can't be used: {printable(error)}")
    return ", ".join(words)


def _in_words(value: object) -> str:
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}s" if isinstance(value, float) else str(value)
