"""A job's past and its limits, as the journal keeps them beside the job: one JSON array.

Its elements are the number of attempts, the reason and time of each, the time-outs in a row, and the time at
which the job expires. Releases before 0.2 wrote the first two alone.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple


class History(NamedTuple):
    """What became of a job's earlier attempts."""

    attempts: int = 0
    reasons: tuple[tuple[float, str], ...] = ()
    """Time in seconds since the epoch and reason of each attempt, the latest ones."""
    timeouts: int = 0
    """Time-outs in a row."""
    expires_at: float = 0.0
    """Seconds since the epoch; 0: never."""


def dump_history(history: History) -> bytes:
    """Return the bytes for a journal; none for a job that has no past and no limit."""
    attempts, reasons, timeouts, expires_at = history
    if expires_at:
        return json.dumps([attempts, reasons, timeouts, expires_at]).encode()
    return json.dumps([attempts, reasons, timeouts]).encode() if attempts else b""


def load_history(value: bytes) -> History:
    """Read what `dump_history` wrote.

    Raises:
        ValueError: it was not.
    """
    if not value:
        return History()
    try:
        found: list[Any] = json.loads(value)
        defaults: list[Any] = [0, 0.0]
        attempts, reasons, timeouts, expires_at = [*found, *defaults[len(found) - 2 :]]
        history = History(
            _count(attempts),
            tuple((_time(at), str(reason)) for at, reason in reasons),
            _count(timeouts),
            _time(expires_at),
        )
    except (ValueError, TypeError, RecursionError):
        raise ValueError("its history can't be read") from None
    return history


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError
    return value


def _time(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError
    return float(value)
