"""The lines of standard input, one at a time and only those that are there: a slow writer holds nobody up."""

from __future__ import annotations

import os
import select
import sys
from typing import Final

from ..wire.parser import MAX_PACKET
from .exits import ExitCode, fail

CHUNK: Final = 256 * 1024


class Lines:
    """Reads lines from a descriptor, without their LF or CRLF."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._buffer = bytearray()
        # Where the next line begins, and how far its end was looked for.
        self._begin = self._searched = 0
        self._ended = False
        self.count = 0
        """How many lines were taken."""

    @property
    def ended(self) -> bool:
        """Whether there are no more."""
        return self._ended and self._begin == len(self._buffer)

    def take(self) -> bytes | None:
        """The next line, if it is there."""
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            if self._ended:
                if self.ended:
                    return None
                end = len(self._buffer)
                break
            if not select.select([self._descriptor], [], [], 0)[0]:
                return None
            self._read()
        line = bytes(self._buffer[self._begin : end]).removesuffix(b"\r")
        self._begin = self._searched = min(end + 1, len(self._buffer))
        self.count += 1
        return line

    def wait(self) -> None:
        """Wait until there is more, or the end."""
        select.select([self._descriptor], [], [])

    def _read(self) -> None:
        if self._begin:
            del self._buffer[: self._begin]
            self._searched -= self._begin
            self._begin = 0
        if len(self._buffer) > MAX_PACKET:
            fail(
                f"line {self.count + 1} is longer than {MAX_PACKET} bytes, a workload's most", ExitCode.USAGE
            )
        data = os.read(self._descriptor, CHUNK)
        self._buffer += data
        self._ended = not data
