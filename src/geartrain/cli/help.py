"""Help that teaches: the examples below each command's options."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """The end of a command's help: one example a line; a remark on it follows `  # `."""
    return "  \n".join(["**Examples**", *map(_example, lines)])


def _example(line: str) -> str:
    command, mark, remark = line.partition("  # ")
    return f"`{command}`" + (f" # {remark}" if mark else "")
