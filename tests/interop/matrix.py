"""The table of docs/interop.md: clients, servers and workers, and their capabilities.

`python -m tests.interop.matrix` writes it from the last test run. It refuses to write a table with an empty
cell, so every test of the matrix has to have passed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from . import results
from .capabilities import GAPS, LIMITS, ROWS, TITLES, Capability, Row, gap, limit
from .cast import ROOT

PAGE: Final = ROOT / "docs" / "interop.md"
BEGIN: Final = "<!-- interop:begin -->\n"
END: Final = "<!-- interop:end -->"


class MarkersMissingError(Exception):
    """The page has no markers for the table."""


def render() -> str:
    """The table and its notes, with every test passed."""
    heads = ["Client", "Server", "Worker", *(capability.value for capability in Capability)]
    lines = [_line(heads), _line(["---"] * 3 + [":-:"] * len(Capability))]
    for row in ROWS:
        names = [TITLES[row.client], TITLES[row.server], TITLES[row.worker]]
        lines.append(_line(names + [_cell(row, capability) for capability in Capability]))
    notes = [f"{number}. {remark.reason}" for number, remark in enumerate((*GAPS, *LIMITS), 1)]
    return "\n".join([*lines, "", *notes, ""])


def missing() -> list[tuple[Row, Capability]]:
    """The cells that no test of the last run stands for."""
    return [cell for cell in _cells() if not gap(*cell) and not results.works(*cell)]


def committed() -> str:
    """Return the table of the page.

    Raises:
        MarkersMissingError: the page has no markers around it.
    """
    return _split(PAGE.read_text())[1]


def main() -> int:
    """Write the table into the page; return the exit status."""
    if cells := missing():
        for row, capability in cells:
            print(f"no test has passed for {row.id}, {capability.value}", file=sys.stderr)
        print(f"{len(cells)} cells are empty; run pytest tests/interop first", file=sys.stderr)
        return 1
    before, _, after = _split(PAGE.read_text())
    PAGE.write_text(before + render() + after)
    return 0


def _cells() -> Iterator[tuple[Row, Capability]]:
    return ((row, capability) for row in ROWS for capability in Capability)


def _cell(row: Row, capability: Capability) -> str:
    remarks = (*GAPS, *LIMITS)
    if (remark := gap(row, capability)) is not None:
        return f"n/a <sup>{remarks.index(remark) + 1}</sup>"
    if (remark := limit(row, capability)) is not None:
        return f"✓ <sup>{remarks.index(remark) + 1}</sup>"
    return "✓"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _split(text: str) -> tuple[str, str, str]:
    """What comes before the table, the table, and what comes after it."""
    before, begin, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    if not begin or not end:
        raise MarkersMissingError(f"{PAGE.name} has no {BEGIN.strip()} and {END} around the table")
    return before + begin, table, end + after


if __name__ == "__main__":
    sys.exit(main())
