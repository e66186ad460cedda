"""Which of the jobs that share rows have not ended, in memory: a bit each, found by number.

The rows are ordered as their jobs are, and overlap nowhere: new jobs have larger numbers than all before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Alive:
    """The rows of one file that jobs share, by the number of their first job."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._bits: dict[int, int] = {}
        # How many jobs each row was written with.
        self._sizes: dict[int, int] = {}

    def add(self, first: int, bits: int, alive: int) -> None:
        """A row was written, or found, with a bit for each of its jobs and for those that have not ended."""
        if first not in self._bits:
            if self._firsts and first < self._firsts[-1]:
                self._firsts.insert(bisect_right(self._firsts, first), first)
            else:
                self._firsts.append(first)
        self._bits[first] = alive
        self._sizes[first] = bits.bit_count()

    def row_of(self, number: int) -> int:
        """The first number of the row that a job shares; -1 if it shares none, or has ended there."""
        index = bisect_right(self._firsts, number)
        if not index:
            return -1
        first = self._firsts[index - 1]
        return first if self._bits[first] >> (number - first) & 1 else -1

    def without(self, numbers: Iterable[int]) -> tuple[dict[int, int], list[int]]:
        """What rows would be left with if these jobs ended, and those of the numbers that share no row."""
        left: dict[int, int] = {}
        others: list[int] = []
        for number in numbers:
            first = self.row_of(number)
            if first < 0:
                others.append(number)
            else:
                bit = 1 << (number - first)
                left[first] = left.get(first, self._bits[first]) & ~bit
        return left, others

    def is_sparse(self, first: int, bits: int) -> bool:
        """Whether so few jobs would be left of a row that they had better get rows of their own."""
        return bits.bit_count() * 8 < self._sizes[first]

    def update(self, left: dict[int, int]) -> None:
        """Rows were left with these jobs; one without any is gone."""
        for first, bits in left.items():
            if bits:
                self._bits[first] = bits
            else:
                del self._bits[first]
                del self._sizes[first]
                del self._firsts[bisect_right(self._firsts, first) - 1]
