"""Amounts of memory as people write them."""

from __future__ import annotations

import re
from typing import Final

import typer

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes.

    >>> parse_size("512M"), parse_size("1.5g"), parse_size("1048576")
    (536870912, 1610612736, 1048576)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no amount of memory, such as 512M or 2G")
    return int(float(found[1]) * _UNITS[found[2].upper()])
