"""`geartrain submit`: a job, or one for each line of standard input."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated, Final

import typer

from ..wire.parser import MAX_PACKET
from .exits import ExitCode, fail
from .help import examples
from .output import JsonOption
from .servers import ServerOption, servers_of
from .times import read_moment, read_seconds

app = typer.Typer()

LOOK_EVERY: Final = 0.05
"""Seconds after which new lines are looked for while jobs run."""


class Priority(StrEnum):
    """How soon a queued job is handed out."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@app.command(
    epilog=examples(
        "geartrain submit reverse hello",
        "geartrain submit resize - < photo.png > small.png",
        "geartrain submit resize --background --priority low - < photo.png  # prints the job's handle",
        "geartrain submit mail --lines < addresses.txt  # a job for each line, a result for each in order",
        "geartrain submit report --background --unique report-2026-11 --at +10m",
        "geartrain submit reverse --also shout --label hello  # the same job for two functions",
    )
)
def submit(
    function: Annotated[
        str, typer.Argument(metavar="FUNCTION", help="The function that is to do it.", show_default=False)
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="The workload; - reads it from standard input.", show_default="empty"
        ),
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", "-b", help="Don't wait: print the job's handle once it is queued.")
    ] = False,
    priority: Annotated[
        Priority, typer.Option("--priority", "-p", help="How soon it is handed out.")
    ] = Priority.NORMAL,
    unique: Annotated[
        str,
        typer.Option(
            "--unique",
            "-u",
            metavar="UNIQUE",
            help="Share the job of the same function and unique, if there is one; - makes the workload it.",
            show_default=False,
        ),
    ] = "",
    prefix: Annotated[
        str,
        typer.Option(
            metavar="PREFIX", help="Goes before the function's name, with a tab between.", show_default=False
        ),
    ] = "",
    lines: Annotated[
        bool,
        typer.Option("--lines", "-l", help="Submit each line of standard input, without its end."),
    ] = False,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="FUNCTION", help="Submit it for this function, too; as often as you like."),
    ] = None,
    label: Annotated[
        bool, typer.Option("--label", "-L", help="Begin each line of output with the function's name.")
    ] = False,
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="With --background: not before 2026-12-24T18:00, or in +90s, +10m, +2h, +1d.",
            show_default=False,
        ),
    ] = "",
    retry: Annotated[int, typer.Option(min=0, metavar="N", help="Submit a failed job so often again.")] = 0,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", "-t", parser=read_seconds, metavar="TIME", help="For each job: 30s, or 30."
        ),
    ] = None,
    expires: Annotated[
        float | None,
        typer.Option(
            parser=read_seconds,
            metavar="TIME",
            help="The job expires after that time if no worker has taken it; on geartrain's server alone.",
            show_default=False,
        ),
    ] = None,
    at_once: Annotated[
        int, typer.Option(metavar="N", min=1, help="With --lines: jobs that wait for their answers together.")
    ] = 1000,
    progress: Annotated[
        bool | None,
        typer.Option("--progress/--no-progress", help="A bar on stderr.", show_default="on a terminal"),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Submit a job and print its result.

    Data that the worker sends is printed as it comes, the result after it, byte for byte. Warnings and
    exceptions go to standard error, and the exit code tells how it went; with --lines it is that of the first
    job that went wrong.

    With --json each job is a line with an object: its function, handle, state, result, and what else there
    was. Bytes that are not UTF-8 are in result_base64 instead of result.
    """
    if lines and data not in (None, "-"):
        fail("--lines takes the jobs from standard input, and DATA is given", ExitCode.USAGE)
    functions = [function, *(also or ())]
    when = read_moment("--at", at) if at else None

    from ..client import Client, Task, TaskSet
    from ..client.progress import Bar
    from .answers import Answers
    from .lines import Lines

    def add(workload: bytes, line: int = 0) -> None:
        for name in functions:
            task = Task(
                name,
                workload,
                unique=unique,
                priority=priority.value,
                background=background,
                at=when,
                retry_count=retry,
                timeout=timeout,
                expires=expires,
            )
            answers.expect(task, line)
            tasks.add(task)

    def add_lines() -> None:
        while source and not answers.lost and answers.outstanding < at_once:
            line = source.take()
            if line is None:
                break
            add(line, source.count)

    def ended(task: Task) -> None:
        tasks.tasks.remove(task)
        add_lines()

    source = Lines() if lines else None
    apart = lines or len(functions) > 1 or background
    answers = Answers(as_json=as_json, apart=apart, label=label, bar=Bar(progress), on_end=ended)
    try:
        with Client(servers_of(server), prefix=prefix) as client:
            tasks = TaskSet(client)
            if source is None:
                add(_workload(data))
                tasks.wait()
            else:
                add_lines()
                while answers.outstanding or not (source.ended or answers.lost):
                    if answers.outstanding:
                        tasks.wait(None if source.ended else LOOK_EVERY)
                    else:
                        source.wait()
                    add_lines()
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)
    finally:
        answers.close()
    raise typer.Exit(answers.code)


def _workload(data: str | None) -> bytes:
    if data != "-":
        return os.fsencode(data or "")
    workload = sys.stdin.buffer.read(MAX_PACKET + 1)
    if len(workload) > MAX_PACKET:
        fail(f"standard input is longer than a workload can be ({MAX_PACKET} bytes)", ExitCode.USAGE)
    return workload
