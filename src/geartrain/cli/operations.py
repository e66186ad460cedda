"""Reads what a person types at the demo: `2+3 7 - 10 -2*-3` are three operations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

FUNCTIONS: Final = {"+": "addition", "-": "subtraction", "*": "multiplication", "/": "division"}
"""The function that does each operation, which is also the name of its worker."""

LONGEST_NUMBER: Final = 50
"""Digits before the point of a number, and after it, at most."""

_DIGITS: Final = rf"[0-9]{{1,{LONGEST_NUMBER}}}"
_NUMBER: Final = rf"-?(?:{_DIGITS}(?:\.{_DIGITS})?|\.{_DIGITS})"
_OPERATION: Final = re.compile(rf"({_NUMBER})\s*([-+*/])\s*({_NUMBER})(?!\S)")
_WORD: Final = re.compile(r"\S+\s*")
_AS_WRITTEN: Final = str.maketrans("×·÷−–", "**/--")  # as people copy them from elsewhere


class Operation(NamedTuple):
    """One operation: the function that does it, and its workload."""

    text: str
    function: str
    workload: bytes


class Unreadable(NamedTuple):
    """Something on the line that is no operation."""

    text: str


def read_operations(line: str) -> Iterator[Operation | Unreadable]:
    """What a line asks for, in order; words that make no operation come as one `Unreadable`."""
    line = line.translate(_AS_WRITTEN).strip()
    position = skipped = 0
    while position < len(line):
        if match := _OPERATION.match(line, position):
            if skipped < position:
                yield Unreadable(line[skipped:position].strip())
            a, sign, b = match.groups()
            yield Operation(f"{a}{sign}{b}", FUNCTIONS[sign], f"{a} {b}".encode("ascii"))
            position = match.end()
            while position < len(line) and line[position].isspace():
                position += 1
            skipped = position
        else:
            word = _WORD.match(line, position)
            position = word.end() if word else len(line)
    if skipped < position:
        yield Unreadable(line[skipped:].strip())
