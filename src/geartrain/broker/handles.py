"""Jobs by their handle, `H:host:number`.

Numbers are given out in order, so jobs are kept in pages of consecutive numbers instead of a dict: a million
of them cost eight bytes each, adding one costs the same however many there are, and when a page's last job
is gone, so is its memory. (A dict of handles takes ten times that, copies itself as it grows, and never
gives anything back.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..wire import packets as p
from ..wire.codec import response_head
from .state import Job

LARGEST_NUMBER: Final = 1 << 62
"""The numbers of jobs are below it."""

_PAGE_BITS: Final = 8
_PAGE: Final = 1 << _PAGE_BITS
"""Jobs in a page."""
_PAGES_IN_PART: Final = 32
"""Pages that are walked through at once: some milliseconds' worth."""


# The last digits of a number, since only they change from one handle to the next.
_LAST_DIGITS: Final[list[bytes]] = [b"%03d" % number for number in range(1000)]


class _Page:
    def __init__(self, key: int) -> None:
        self.key = key
        self.jobs: list[Job | None] = [None] * _PAGE
        self.count = 0


class Handles:
    """Gives out handles and finds the jobs that have them.

    Args:
        prefix: what a handle holds before its number.
        first_number: the first number to give out.
    """

    def __init__(self, prefix: bytes, first_number: int) -> None:
        self._prefix = prefix
        self._next_number = first_number
        # A handle without its last three digits, and the first of the thousand numbers that it is for.
        self._stem = b""
        self._stem_from = -1000
        # The newest page stays while it is empty, or a server with one job at a time would make one for each;
        # and the page that a job left last, since the next one is likely to be its neighbour.
        self._newest = _Page(-1)
        self._left = self._newest
        self._pages: dict[int, _Page] = {-1: self._newest}
        self.count = 0
        """Jobs that are there."""
        self.length = len(prefix) + len(str(first_number))
        """Bytes of the handles that are given out now; those of earlier runs may differ."""
        self._created_head = response_head(p.JOB_CREATED, self.length)

    def next_number(self) -> int:
        """A number that no other job has or had."""
        number = self._next_number
        self._next_number = number + 1
        return number

    def give_out(self) -> tuple[int, bytes]:
        """The same, and the handle of that number."""
        number = self._next_number
        self._next_number = number + 1
        last = number - self._stem_from
        if 0 <= last < 1000:
            return number, self._stem + _LAST_DIGITS[last]
        return number, self.handle(number)

    @property
    def following(self) -> int:
        """The number that will be given out next."""
        return self._next_number

    def skip(self, number: int) -> None:
        """A job of an earlier run has this number; give out larger ones only."""
        if number >= self._next_number:
            self._next_number = number + 1

    def handle(self, number: int) -> bytes:
        """The handle of that number."""
        if number < 1000:
            return self._prefix + b"%d" % number
        last = number - self._stem_from
        if not 0 <= last < 1000:
            last = number % 1000
            self._stem_from = number - last
            self._stem = self._prefix + b"%d" % (number // 1000)
        return self._stem + _LAST_DIGITS[last]

    def created(self, handle: bytes) -> bytes:
        """JOB_CREATED for one of these handles."""
        if len(handle) == self.length:
            return self._created_head + handle
        return response_head(p.JOB_CREATED, len(handle)) + handle

    # As with a dict whose keys are handles

    def __len__(self) -> int:
        return self.count

    def __contains__(self, handle: bytes) -> bool:
        return self.get(handle) is not None

    def get(self, handle: bytes) -> Job | None:
        """The job of that handle, if there is one."""
        digits = handle[len(self._prefix) :]
        if not (digits.isdigit() and len(digits) < 20 and handle.startswith(self._prefix)):
            return None
        number = int(digits)
        page = self._pages.get(number >> _PAGE_BITS)
        job = None if page is None else page.jobs[number & (_PAGE - 1)]
        # Equal as bytes, too: a zero before the number makes it another handle.
        return job if job is not None and job.handle == handle else None

    def values(self) -> Iterator[Job]:
        """Every job, roughly in the order of their numbers; none may come or go meanwhile."""
        for page in self._pages.values():
            for job in page.jobs:
                if job is not None:
                    yield job

    def in_parts(self) -> Iterator[list[Job]]:
        """Every job, some thousands at a time; between two parts they may come and go."""
        keys = list(self._pages)
        for start in range(0, len(keys), _PAGES_IN_PART):
            jobs: list[Job] = []
            for key in keys[start : start + _PAGES_IN_PART]:
                page = self._pages.get(key)
                if page is not None:
                    jobs += [job for job in page.jobs if job is not None]
            yield jobs

    def from_number(self, number: int) -> Iterator[Job]:
        """Every job from that number on, in the order of their numbers; none may come or go meanwhile."""
        first = number >> _PAGE_BITS
        for key in sorted([key for key in self._pages if key >= first]):
            for job in self._pages[key].jobs:
                if job is not None and job.number >= number:
                    yield job

    def add(self, job: Job) -> None:
        """Take in a job under the number that it has."""
        key = job.number >> _PAGE_BITS
        page = self._newest
        if page.key != key:
            page = self._open(key)
        page.jobs[job.number & (_PAGE - 1)] = job
        page.count += 1
        self.count += 1

    def remove(self, job: Job) -> None:
        """Let go of a job; it must be there."""
        key = job.number >> _PAGE_BITS
        page = self._left
        if page.key != key:
            page = self._left = self._pages[key]
        page.jobs[job.number & (_PAGE - 1)] = None
        page.count -= 1
        self.count -= 1
        if not page.count and page is not self._newest:
            del self._pages[key]
            self._left = self._newest

    def _open(self, key: int) -> _Page:
        """The page of that key, made if need be."""
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = _Page(key)
        newest = self._newest
        if key > newest.key:
            if not newest.count:
                del self._pages[newest.key]
                self._left = page
            self._newest = page
        return page
