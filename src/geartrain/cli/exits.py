"""What the `geartrain` command's exit codes mean, so that scripts can tell."""

from __future__ import annotations

import contextlib
from enum import IntEnum
from typing import NoReturn

import typer

from ..errors import ConnectionLostError, GeartrainError, NoServersError, ServerError, WaitTimeoutError


class ExitCode(IntEnum):
    """How a command ended. What a `--shell` worker's command exits with is its own affair."""

    OK = 0
    FAILED = 1
    """A job failed, or what was asked for could not be done."""
    USAGE = 2
    """The command line, a file or a worker's module could not be understood."""
    NO_SERVER = 3
    """No job server could be reached, or it went away."""
    REFUSED = 4
    """The job server answered with an error."""
    TIMEOUT = 5
    """Waiting took longer than it was given."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it."""


EXIT_CODES = (
    "**Exit codes**: 0 done, 1 a job failed or it could not be done, 2 the command line was not understood, "
    "3 no job server was reached, 4 the job server refused, 5 it took longer than --timeout, 130 Ctrl-C."
)


def code_of(error: GeartrainError) -> ExitCode:
    """The exit code for an error of ours."""
    if isinstance(error, NoServersError | ConnectionLostError):
        return ExitCode.NO_SERVER
    if isinstance(error, ServerError):
        return ExitCode.REFUSED
    if isinstance(error, WaitTimeoutError):
        return ExitCode.TIMEOUT
    return ExitCode.FAILED


def complain(sentence: str) -> None:
    """Say on standard error what is wrong."""
    with contextlib.suppress(OSError):  # a full disk there: the exit code is left to tell
        typer.echo(f"geartrain: {sentence}", err=True)


def fail(sentence: str, code: ExitCode = ExitCode.FAILED) -> NoReturn:
    """Say on standard error why the command ends, and end it."""
    complain(sentence)
    raise typer.Exit(code)
