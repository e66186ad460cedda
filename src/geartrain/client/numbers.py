"""Numbers from outside: in packets, where every library writes them a little differently, and of callers."""

from __future__ import annotations

import math
import re

_DIGITS = re.compile(rb"\s*([+-]?[0-9]{1,18})")


def number(text: bytes) -> int:
    """The whole number that a text begins with, 0 if none does, as C's `atoi` reads it.

    The Perl server leaves numbers empty that no worker has told it, and some workers report fractions.
    """
    found = _DIGITS.match(text)
    return int(found[1]) if found else 0


def require_seconds(*limits: float | None) -> None:
    """Raise ValueError if a time limit is NaN, which no time is ever past and which sorts nowhere."""
    if any(limit is not None and math.isnan(limit) for limit in limits):
        raise ValueError("a time limit is a number of seconds, not NaN")
