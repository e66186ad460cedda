"""Lengths of time as the command line takes them everywhere: `30s`, `10m`, or a number of seconds."""

from __future__ import annotations

import typer


def read_seconds(text: str | float) -> float:
    """What an option with a length of time was given, in seconds; it is more than nothing."""
    from ..broker.policy import seconds

    try:
        found = seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not found:
        raise typer.BadParameter("expected a time that is more than 0")
    return found
