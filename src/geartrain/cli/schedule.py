"""`geartrain schedule`: jobs that the server submits again and again."""

from __future__ import annotations

import base64
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from .asking import ask, changed, when, when_in_table
from .exits import ExitCode, fail
from .help import examples
from .output import JsonOption, printable, show_json, show_table
from .servers import ServerOption, end_with, servers_of

app = typer.Typer(
    name="schedule",
    help="Jobs that the server submits again and again, by a cron expression in a time zone.",
    no_args_is_help=True,
    epilog=examples(
        "geartrain schedule add nightly --cron '0 3 * * *' --tz Europe/Berlin --function report",
        "geartrain schedule list",
        "geartrain schedule pause nightly",
        "geartrain schedule resume nightly",
        "geartrain schedule remove nightly",
    ),
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)]


class Priority(StrEnum):
    """How soon a queued job is handed out."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Missed(StrEnum):
    """What becomes of runs that fell into a time when the server was down."""

    ONCE = "once"
    SKIP = "skip"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a run while the job of the last one has not ended."""

    SKIP = "skip"
    ALLOW = "allow"


@app.command(
    epilog=examples(
        "geartrain schedule add nightly --cron '0 3 * * *' --tz Europe/Berlin --function report",
        "geartrain schedule add sweep --cron '*/5 * * * *' --function sweep --missed skip",
        "geartrain schedule add bill --cron '0 9 1 * *' --function bill --missed all --overlap allow",
        "geartrain schedule add nightly --cron '0 4 * * *' --function report --replace",
    )
)
def add(
    name: NameArgument,
    cron: Annotated[
        str,
        typer.Option(help="Minute, hour, day of month, month, day of week (0: Sunday).", show_default=False),
    ],
    function: Annotated[
        str, typer.Option("--function", "-f", help="The job's function.", show_default=False)
    ],
    workload: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="The job's workload; - reads it from standard input."),
    ] = None,
    tz: Annotated[
        str, typer.Option(metavar="ZONE", help="Where a clock shows that time.", show_default="the server's")
    ] = "",
    unique: Annotated[str, typer.Option("--unique", "-u", help="The job's unique.", show_default=False)] = "",
    priority: Annotated[
        Priority, typer.Option("--priority", "-p", help="How soon the job is handed out.")
    ] = Priority.NORMAL,
    missed: Annotated[
        Missed,
        typer.Option(
            help="Runs missed while the server was down: make up for all of them once, skip them, all."
        ),
    ] = Missed.ONCE,
    overlap: Annotated[
        Overlap, typer.Option(help="A run while the last one's job has not ended: skip or allow it.")
    ] = Overlap.SKIP,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the one of that name.")] = False,
    server: ServerOption = None,
) -> None:
    """Have the server submit a background job whenever a cron expression says so.

    A schedule is durable like a job. What falls into the hour that daylight saving time leaves out runs right
    after it, and what falls into the hour that comes twice runs once.
    """
    _look_at(cron, tz)
    wanted: dict[str, Any] = {
        "name": name,
        "cron": cron,
        "function": function,
        "tz": tz,
        "unique": unique,
        "priority": priority.value,
        "missed": missed.value,
        "overlap": overlap.value,
        "replace": replace,
    }
    if workload is not None:
        data = sys.stdin.buffer.read() if workload == "-" else workload.encode("utf-8", "surrogateescape")
        wanted["workload_base64"] = base64.b64encode(data).decode()
    for answer in changed(servers_of(server), "schedule.add", wanted).values():
        typer.echo(f"{printable(name)}: runs next at {when(answer['next'])}")


def _look_at(cron: str, tz: str) -> None:
    """End the command if one of them can't be understood."""
    from zoneinfo import available_timezones

    from ..server.cron import Cron

    try:
        Cron(cron, "UTC")
    except ValueError as error:
        fail(
            f"--cron: {error}; the fields are minute 0-59, hour 0-23, day of month 1-31, month 1-12, "
            "day of week 0-7 (0 and 7: Sunday)",
            ExitCode.USAGE,
        )
    here = available_timezones()
    if tz and here and tz not in here:  # where none is known, the server has to tell
        fail(f"--tz: {tz!r} is no time zone; there are such as 'Europe/Berlin'", ExitCode.USAGE)


@app.command("list", epilog=examples("geartrain schedule list --json"))
def list_(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """Show every schedule.

    In a pipe each is a line of NAME, STATE, CRON, ZONE, FUNCTION, and when it ran last and runs next, with
    tabs between them; with several servers the server's address comes first. A schedule that can't be used is
    `unusable`: `geartrain quarantine list` says why.
    """
    servers = servers_of(server)
    answers = ask(servers, "schedule.list", {})
    rows = [{"server": at, **row} for at, answer in answers.items() for row in answer]
    if as_json:
        show_json(rows)
    else:
        first = 0 if len(servers) > 1 else 1
        show_table(
            ["Server", "Name", "State", "Cron", "Zone", "Function", "Last", "Next"][first:],
            [
                [
                    *(row["server"], row["name"], row["state"], str(row["cron"]), str(row.get("tz", ""))),
                    *(str(row["function"]), when_in_table(row["last"]) if row["handle"] else ""),
                    when_in_table(row["next"]),
                ][first:]
                for row in rows
            ],
            "There is no schedule.",
        )
    end_with(servers, answers)


@app.command(epilog=examples("geartrain schedule pause nightly"))
def pause(name: NameArgument, server: ServerOption = None) -> None:
    """Let a schedule rest. Runs that fall into a pause are not missed."""
    changed(servers_of(server), "schedule.pause", {"name": name})
    typer.echo(f"{printable(name)}: paused")


@app.command(epilog=examples("geartrain schedule resume nightly"))
def resume(name: NameArgument, server: ServerOption = None) -> None:
    """Let a schedule go on."""
    for answer in changed(servers_of(server), "schedule.resume", {"name": name}).values():
        typer.echo(f"{printable(name)}: runs next at {when(answer['next'])}")


@app.command(epilog=examples("geartrain schedule remove nightly"))
def remove(name: NameArgument, server: ServerOption = None) -> None:
    """Forget a schedule. The jobs that it submitted stay."""
    changed(servers_of(server), "schedule.remove", {"name": name})
    typer.echo(f"{printable(name)}: removed")
