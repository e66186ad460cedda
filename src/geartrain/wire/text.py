"""The text protocol: what administration tools and monitoring plugins send and read, a line at a time.

Names travel as bytes on the wire and may hold any of them; here they are text, with bytes that are not UTF-8
kept as surrogate escapes, so that what was read can be sent back unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ..errors import MalformedPacketError

END: Final = b"."
"""The line that ends every answer of more than one line."""


class FunctionStatus(NamedTuple):
    """One line of `status`: a function, how many jobs it holds, how many of them run, and its workers."""

    function: str
    total: int
    running: int
    workers: int

    @property
    def queued(self) -> int:
        """Jobs that wait for a worker."""
        return self.total - self.running


class WorkerStatus(NamedTuple):
    """One line of `workers`: a connection's descriptor, address, client id (`-` if none) and abilities.

    Plain clients are listed too, with no functions.
    """

    fd: int
    address: str
    id: str
    functions: tuple[str, ...]


class PriorityStatus(NamedTuple):
    """One line of `prioritystatus`: a function, its jobs that wait, by priority, and its workers."""

    function: str
    high: int
    normal: int
    low: int
    workers: int


class JobLine(NamedTuple):
    """One line of `show jobs`: a job, how often it lost its worker, and what is special about it."""

    handle: str
    returns: int
    cancelled: bool
    background: bool


def text_of(name: bytes) -> str:
    """Bytes of a name as text."""
    return name.decode("utf-8", "surrogateescape")


def bytes_of(name: str) -> bytes:
    """Text of a name as bytes; the inverse of `text_of`."""
    return name.encode("utf-8", "surrogateescape")


def status_name(line: bytes) -> bytes:
    """The function of a line `status NAME`, empty if there is none; the name may hold blanks and tabs."""
    words = line.split(None, 1)
    return words[1] if len(words) == 2 and words[0].lower() == b"status" else b""


def parse_status(lines: Iterable[bytes]) -> list[FunctionStatus]:
    """Read the answer to `status`, given without its last line `.`."""
    rows: list[FunctionStatus] = []
    for line in lines:
        # From the right, since a function's name may hold tabs (a prefix ends in one).
        parts = line.rsplit(b"\t", 3)
        try:
            name, total, running, workers = parts
            rows.append(FunctionStatus(text_of(name), int(total), int(running), int(workers)))
        except ValueError:
            raise MalformedPacketError(f"not a line of `status`: {line!r}") from None
    return rows


def parse_workers(lines: Iterable[bytes]) -> list[WorkerStatus]:
    """Read the answer to `workers`, given without its last line `.`."""
    rows: list[WorkerStatus] = []
    for line in lines:
        head, colon, names = line.partition(b" :")
        try:
            fd, address, id = head.split(b" ", 2)
            if not colon:
                raise ValueError
            functions = tuple(text_of(name) for name in names.split(b" ") if name)
            rows.append(WorkerStatus(int(fd), text_of(address), text_of(id), functions))
        except ValueError:
            raise MalformedPacketError(f"not a line of `workers`: {line!r}") from None
    return rows


def parse_priority_status(lines: Iterable[bytes]) -> list[PriorityStatus]:
    """Read the answer to `prioritystatus`, given without its last line `.`."""
    rows: list[PriorityStatus] = []
    for line in lines:
        try:
            name, high, normal, low, workers = line.rsplit(b"\t", 4)
            rows.append(PriorityStatus(text_of(name), int(high), int(normal), int(low), int(workers)))
        except ValueError:
            raise MalformedPacketError(f"not a line of `prioritystatus`: {line!r}") from None
    return rows


def parse_jobs(lines: Iterable[bytes]) -> list[JobLine]:
    """Read the answer to `show jobs`, given without its last line `.`."""
    rows: list[JobLine] = []
    for line in lines:
        try:
            handle, returns, cancelled, background = line.split(b"\t")
            rows.append(JobLine(text_of(handle), int(returns), cancelled == b"1", background == b"1"))
        except ValueError:
            raise MalformedPacketError(f"not a line of `show jobs`: {line!r}") from None
    return rows


def parse_uniques(lines: Iterable[bytes]) -> list[str]:
    """Read the answer to `show unique jobs`; later versions of gearmand put the handle behind the unique."""
    return [text_of(line.partition(b"\t")[0]) for line in lines]
