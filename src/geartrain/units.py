"""Lengths of time and amounts of memory as people write them, read in one way everywhere."""

from __future__ import annotations

import math
import re
from typing import Final

_TIMES: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES: Final = {
    "": 1,
    "b": 1,
    **{unit + end: 1024**power for power, unit in enumerate("kmgt", 1) for end in ("", "ib")},
    **{unit + "b": 1000**power for power, unit in enumerate("kmgt", 1)},
}

MAX_SECONDS: Final = 1e9
"""Largest length of time in seconds, about thirty years."""
MAX_SIZE: Final = 1 << 62
"""Largest amount of memory in bytes."""
MAX_EPOCH: Final = 253_402_300_799
"""Last second of the year 9999, since the epoch: the end of most calendars."""


def parse_seconds(value: object) -> float:
    """Return a length of time in seconds: a number, or text such as `"500ms"`, `"30s"`, `"10m"`, `"7d"`.

    Raises:
        ValueError: the value is neither, negative, or `MAX_SECONDS` and more.
    """
    found = -1.0
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})\s*([a-z]*)", value.strip())
        if match is not None:
            found = float(match[1]) * _TIMES.get(match[2] or "s", -1.0)
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_SECONDS:
        found = float(value)  # only now: an integer may be too large for a float
    if 0 <= found < MAX_SECONDS:
        return found
    raise ValueError(f"expected a time such as '30s' or '10m', got {_short(value)}")


def parse_size(value: object) -> int:
    """Return a number of bytes: a number, or text such as `"64 MiB"`, `"1GB"` or `"512k"`.

    `kB`, `MB`, `GB` and `TB` are powers of 1,000; `KiB` to `TiB` and the letters alone powers of 1,024.

    Raises:
        ValueError: the value is neither, negative, or more than `MAX_SIZE`.
    """
    found = -1
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([a-z]*)", value.strip().lower())
        if match is not None and match[2] in _SIZES:
            found = int(float(match[1]) * _SIZES[match[2]])
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    if 0 <= found <= MAX_SIZE:
        return found
    raise ValueError(f"expected a size such as '64 MiB', got {_short(value)}")


def require_seconds(*limits: float | None) -> None:
    """Check time limits of callers: numbers of seconds from 0 on, or None.

    Raises:
        ValueError: a limit is NaN, which compares with nothing.
    """
    if any(limit is not None and math.isnan(limit) for limit in limits):
        raise ValueError("a time limit is a number of seconds, not NaN")


def _short(value: object) -> str:
    """Return the value for an error text, cut where it is long."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**60 else "a number of many digits"
    return text if len(text) <= 60 else text[:57] + "..."
