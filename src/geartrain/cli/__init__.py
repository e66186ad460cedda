"""The `geartrain` command. Each family of commands is a file with an `app` of its own, gathered here.

A family's file imports what it runs with inside its functions, so that no command pays for another's start.
"""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from ..errors import GeartrainError
from . import (
    admin,
    dead,
    demo,
    doctor,
    function,
    gearmand,
    journal,
    ping,
    quarantine,
    result,
    schedule,
    serve,
    status,
    submit,
    work,
    workers,
)  # fmt: skip
from .exits import EXIT_CODES, ExitCode, code_of, complain

__all__ = ["app", "main"]

_OUTPUT_FAILS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing to standard output may come to. Files and sockets have errors of their own kinds."""

app = typer.Typer(
    name="geartrain",
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    no_args_is_help=True,
)
# An app that has a name becomes a command with commands of its own, the others' commands join the root.
for family in (
    *(demo, serve, work, submit, result, status, workers, ping),
    *(function, schedule, dead, quarantine, journal, admin, doctor, gearmand),
):
    app.add_typer(family.app)


def _version(wanted: bool) -> None:
    if wanted:
        from ..version import __version__, form

        typer.echo(f"geartrain {__version__} ({form()})")
        raise typer.Exit()


@app.callback()
def geartrain(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and form.")
    ] = False,
) -> None:
    """Geartrain, a complete Gearman system: job server, worker, client.

    Start with `geartrain demo`, or with `geartrain serve` in one terminal, a worker in another, and
    `geartrain submit` in a third.
    """


def main() -> None:
    """Run the command that `sys.argv` names, and exit with its code."""
    if os.getpid() == 1:
        from .init import become_init

        become_init()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # started with it closed
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, TextIOWrapper):
            # Names on the wire are bytes: those that are not UTF-8 leave as they came.
            stream.reconfigure(errors="surrogateescape")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # what can't be written shows here, where it can still be said
    except GeartrainError as error:
        complain(str(error))
        sys.exit(code_of(error))
    except OSError as error:
        if error.filename is not None or error.errno not in _OUTPUT_FAILS:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is left of it
        if error.errno != errno.EPIPE:  # who closed a pipe has seen enough
            complain(f"standard output can't be written: {error.strerror}")
        sys.exit(ExitCode.FAILED)
