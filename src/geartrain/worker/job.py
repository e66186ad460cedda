"""The job that a handler is given."""

from __future__ import annotations

from contextvars import ContextVar
from typing import ClassVar, Final, Protocol

from ..wire import packets as p
from ..wire.codec import bytes_of
from ..wire.parser import MAX_PACKET
from ..wire.text import text_of

LARGEST_BODY: Final = MAX_PACKET - 256
"""Bytes of a result or an event at most; the rest is room for the handle. A job server that is sent more
hangs up, and has the job done again."""


class Sink(Protocol):
    """Where the events of a running job go."""

    def send_event(self, type: int, handle: bytes, body: bytes) -> None:
        """Send a packet about the job: its handle and the rest of the body."""

    async def drain(self) -> None:
        """Wait until what was sent is on its way."""

    def send_end_from_outside(self, type: int, handle: bytes, body: bytes) -> None:
        """Send the end of a job whose handler hangs, from another thread, and then nothing more."""


class Job:
    """A job in hand: what the client sent, and what can be told to it before the result.

    The handler of a function is called with one, and what it returns is the job's result. The methods may be
    called from any thread while the handler runs. They send at once; where the server is slow to take what
    is sent they wait for it, so that nothing piles up.
    """

    __slots__ = ("_function", "_handle", "_reducer", "_sink", "_unique", "workload")

    stands_for_the_job: ClassVar[bool] = True

    workload: bytes
    """What the client submitted."""

    def __init__(
        self,
        function: str,
        workload: bytes = b"",
        handle: bytes = b"",
        unique: bytes = b"",
        reducer: bytes = b"",
        sink: Sink | None = None,
    ) -> None:
        self._function = function
        self.workload = workload
        self._handle = handle
        self._unique = unique
        self._reducer = reducer
        self._sink = sink

    @property
    def function(self) -> str:
        """The function's name, as it was registered: without the worker's prefix."""
        return self._function

    @property
    def handle(self) -> str:
        """The server's name for the job, such as ``H:host:17``."""
        return text_of(self._handle)

    @property
    def unique(self) -> str:
        """The client's unique; empty if there is none, or the server does not pass it on."""
        return text_of(self._unique)

    @property
    def reducer(self) -> str:
        """The function that is to reduce the results of a SUBMIT_REDUCE_JOB; empty for any other job."""
        return text_of(self._reducer)

    def status(self, numerator: int, denominator: int) -> None:
        """Tell how far the job is: `job.status(3, 10)` is three tenths (WORK_STATUS).

        Raises:
            JobLostError: the job is not this worker's any more (see `data`).
        """
        self._send(p.WORK_STATUS, b"%d\0%d" % (numerator, denominator))

    def data(self, data: bytes | str) -> None:
        """Send the client a part of the result (WORK_DATA). Text is sent as UTF-8.

        Raises:
            JobLostError: the connection broke, or the server took the job away because its time was over.
                Somebody else does the job now: let the exception pass, what this worker does is in vain.
            ValueError: these are more than `LARGEST_BODY` bytes, which no packet may carry.
        """
        self._send(p.WORK_DATA, bytes_of(data))

    def warning(self, warning: bytes | str) -> None:
        """Warn the client; the job goes on (WORK_WARNING). Text is sent as UTF-8.

        Raises:
            JobLostError: the job is not this worker's any more (see `data`).
        """
        self._send(p.WORK_WARNING, bytes_of(warning))

    async def drain(self) -> None:
        """In a coroutine: wait until the server has taken most of what was sent.

        A coroutine that sends large parts awaits this between them, as with asyncio's streams. A plain
        function has no need of it, its `data` waits by itself.
        """
        if self._sink is not None:
            await self._sink.drain()

    def end_from_outside(self, type: int, body: bytes) -> None:
        """End the job whose handler hangs, from another thread: for those who then end the process."""
        if self._sink is not None:
            self._sink.send_end_from_outside(type, self._handle, body)

    def _send(self, type: int, body: bytes) -> None:
        if self._sink is None:
            raise RuntimeError(f"the job {self.handle} has ended: nothing more can be sent for it")
        if len(body) > LARGEST_BODY:
            raise ValueError(f"{len(body)} bytes in one packet: {LARGEST_BODY} are the most")
        self._sink.send_event(type, self._handle, body)

    def __repr__(self) -> str:
        return f"<Job {self.handle} {self.function}, {len(self.workload)} bytes>"


current: Final[ContextVar[Job | None]] = ContextVar("geartrain_job", default=None)
"""The job in hand of this thread or coroutine."""
