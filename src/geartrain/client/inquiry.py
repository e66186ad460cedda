"""Why a job takes so long: its function's workers and waiting jobs, asked for just before a time-out.

The question is the line `status NAME` of the text protocol, which may go between the packets of a
connection. A Geartrain server answers with that function alone, all others with the list of all functions.
"""

from __future__ import annotations

import math
from typing import Final

from ..wire import packets as p
from ..wire.text import END
from .link import Question

ASK_BEFORE: Final = 0.1
"""Seconds before a time-out at which the server is asked; half of the time of a shorter one."""
FRESH: Final = 1.0
"""Seconds for which an answer serves all jobs of its function."""
FIRST_INQUIRIES: Final = 4
"""Questions without an answer on a new connection, whose server may answer each with a long list."""
MAX_INQUIRIES: Final = 64
"""The same for a server that answers with one line. One that sends lists is asked one question at a time."""
LINES_PER_SECOND: Final = 1000
"""Lines of answers that are asked for on average: the list of a server with many functions is long."""
MAX_WORDS: Final = 2
"""Words of a name that a question holds, as a prefix and a name. For more the whole list is asked for."""
MAX_NAMES: Final = 1024
"""Functions that are asked for within a second."""
LONGEST_NAME: Final = 1024
"""Bytes of a function's name that a line holds for sure."""


class Inquiry(Question):
    """The question for one function. It is done with the last line of the answer.

    Args:
        name: the function as the server knows it, with its prefix.
    """

    __slots__ = ("asked_at", "is_refused", "lines", "name", "waiting", "workers")

    def __init__(self, name: bytes, now: float) -> None:
        super().__init__(p.TEXT, _line_for(name), p.TEXT)
        self.name = name
        self.asked_at = now
        self.lines = 0
        self.is_refused = False
        # Unknown until the server tells.
        self.workers = -1
        self.waiting = -1

    def take(self, line: bytes) -> bool:
        """Take a line of the answer; whether it was the last."""
        if line == END:
            return True
        if not self.lines and line.startswith(b"ERR "):
            self.is_refused = True
            return True
        self.lines += 1
        name, *numbers = line.rsplit(b"\t", 3)
        if name == self.name and len(numbers) == 3 and all(number.isdigit() for number in numbers):
            total, running, workers = [int(number[:18]) for number in numbers]
            self.waiting = max(total - running, 0)
            self.workers = workers
        return False


class Inquiries:
    """The questions of one connection, newest answers included."""

    def __init__(self) -> None:
        self._by_name: dict[bytes, Inquiry] = {}
        self._outstanding = 0
        self._room = FIRST_INQUIRIES
        self._not_before = 0.0
        self._tidied_at = 0.0

    def new(self, name: bytes, now: float) -> Inquiry | None:
        """A question to send; None if there is an answer, one is on its way, or it would cost too much."""
        if now < self._not_before or self._outstanding >= self._room:
            return None
        if now >= self._tidied_at + FRESH:
            self._tidied_at = now
            self._by_name = {
                name: inquiry
                for name, inquiry in self._by_name.items()
                if not inquiry.done or inquiry.asked_at > now - FRESH
            }
        known = self._by_name.get(name)
        if known is not None and (not known.done or known.asked_at > now - FRESH):
            return None
        if len(self._by_name) >= MAX_NAMES or not _fits_a_line(name):
            return None
        inquiry = self._by_name[name] = Inquiry(name, now)
        self._outstanding += 1
        return inquiry

    def find(self, name: bytes, now: float) -> Inquiry | None:
        """The answer for a function, if the server has told of it recently."""
        inquiry = self._by_name.get(name)
        if inquiry is None or inquiry.workers < 0 or inquiry.asked_at < now - FRESH - ASK_BEFORE:
            return None
        return inquiry

    def answered(self, inquiry: Inquiry, now: float) -> None:
        """The answer is complete."""
        self._outstanding -= 1
        self._room = MAX_INQUIRIES if inquiry.lines <= 1 else 1
        # What is refused once is refused the next time.
        self._not_before = math.inf if inquiry.is_refused else now + inquiry.lines / LINES_PER_SECOND

    def unanswered(self) -> None:
        """The server passes such questions over."""
        self._not_before = math.inf


def _line_for(name: bytes) -> bytes:
    # gearmand ends the connection over a line of more words, though it takes no notice of them.
    return b"status %b\n" % name if len(name.split()) <= MAX_WORDS else b"status\n"


def _fits_a_line(name: bytes) -> bool:
    return len(name) <= LONGEST_NAME and name == name.strip() and b"\n" not in name
