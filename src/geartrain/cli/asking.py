"""Asking job servers for one of their own functions, `geartrain.…`: JSON there, JSON back."""

from __future__ import annotations

import json
import os
from typing import Any, Final

import typer

from ..errors import GeartrainError, JobException, WaitTimeoutError
from .exits import ExitCode, code_of, complain, fail
from .output import on_terminal

PATIENCE: Final = 30.0
"""Seconds that an answer may take: it waits for a commit, if something was changed."""


def ask(servers: list[str], function: str, workload: object) -> dict[str, Any]:
    """Ask every server; what is missing in the answers was complained about.

    Ends the command if none of them answers.
    """
    answers: dict[str, Any] = {}
    code = ExitCode.NO_SERVER
    for server in servers:
        try:
            answers[server] = ask_one(server, function, workload)
        except JobException as error:
            complain(f"{server}: {error}")
            code = ExitCode.FAILED
        except GeartrainError as error:
            complain(str(error))
            code = code_of(error)
    if not answers:
        raise typer.Exit(code)
    return answers


def ask_one(server: str, function: str, workload: object) -> Any:
    """Ask one server.

    Raises:
        JobException: what is asked for makes no sense; with the server's sentence.
        GeartrainError: it can't be reached, or knows no such function, as only geartrain's server does.
    """
    from ..client import Client

    # A handle from the command line may be no text; the server's answer says that it knows none like it.
    body = os.fsencode(workload) if isinstance(workload, str) else json.dumps(workload)
    try:
        with Client(server) as client:
            return json.loads(client.run(f"geartrain.{function}", body, timeout=PATIENCE))
    except WaitTimeoutError:
        raise WaitTimeoutError(
            f"{server} does not answer geartrain.{function}: is it geartrain's server, and a recent one?"
        ) from None


def changed(servers: list[str], function: str, workload: dict[str, Any]) -> dict[str, Any]:
    """Ask every server for a change; ends the command with a sentence unless all of them made it."""
    answers = ask(servers, function, workload)
    if len(answers) < len(set(servers)):
        fail("not all servers made the change")
    return answers


def when(seconds: float | None) -> str:
    """A time as people of this place write it; empty for none."""
    if not seconds:
        return ""
    from datetime import datetime

    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):  # in no calendar
        return f"{seconds:.0f} s after 1970"


def when_in_table(seconds: float | None) -> str:
    """A time in a table: a terminal has little room, and the person at it knows the zone."""
    return when(seconds)[: len("2026-12-24 18:00:00") if on_terminal() else None]
