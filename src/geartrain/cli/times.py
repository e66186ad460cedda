"""Times and sizes as the command line takes them everywhere: `30s`, `10m`, seconds; `512M`, `2GiB`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import typer

from ..units import MAX_EPOCH, parse_seconds, parse_size
from .exits import ExitCode, fail

SHORTEST: Final = 0.1
"""Seconds between two looks of `--watch` at least."""


def read_seconds(text: str | float) -> float:
    """Return the value of an option with a length of time, in seconds; more than 0."""
    found = read_seconds_or_none(text)
    if not found:
        raise typer.BadParameter("expected a time that is more than 0")
    return found


def read_seconds_or_none(text: str | float) -> float:
    """Return the value of an option with a length of time, in seconds; 0 is taken, too."""
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def read_interval(text: str | float) -> float:
    """Return the value of `--watch` in seconds."""
    found = read_seconds_or_none(text)
    if found < SHORTEST:
        raise typer.BadParameter(f"expected {SHORTEST:g} seconds or more")
    return found


def read_size(text: str | int) -> int:
    """Return the value of an option with an amount of memory, in bytes; more than 0."""
    try:
        found = parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not found:
        raise typer.BadParameter("expected a size that is more than 0")
    return found


def read_moment(option: str, text: str) -> float:
    """Return a point in time in seconds since the epoch: `2026-12-24T18:00` or `+10m`.

    Ends the command if the text is no time, or one outside of the calendar.
    """
    try:
        if text.startswith("+"):
            moment = datetime.now().timestamp() + timedelta(seconds=parse_seconds(text[1:])).total_seconds()
        else:
            moment = datetime.fromisoformat(text).timestamp()
    except ValueError:
        moment = -1.0
    except (OverflowError, OSError):
        fail(f"{option} {text!r} is outside of the calendar", ExitCode.USAGE)
    if not 0 <= moment <= MAX_EPOCH:
        fail(f"{option} {text!r}: write a time as 2026-12-24T18:00 or +10m", ExitCode.USAGE)
    return moment
