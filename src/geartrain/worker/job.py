"""The job that a handler is called with."""

from __future__ import annotations

from contextvars import ContextVar
from typing import ClassVar, Final, Protocol

from ..wire import packets as p
from ..wire.codec import bytes_of
from ..wire.parser import MAX_PACKET
from ..wire.text import text_of

LARGEST_BODY: Final = MAX_PACKET - 256
"""Largest result or event in bytes; the rest of a packet is room for the handle."""


class Sink(Protocol):
    """Destination of a running job's events."""

    def send_event(self, type: int, handle: bytes, body: bytes) -> None:
        """Send a packet about the job: its handle, then `body`."""

    async def drain(self) -> None:
        """Wait until the send buffer is nearly empty."""

    def send_end_from_outside(self, type: int, handle: bytes, body: bytes) -> None:
        """Send the end of a job whose handler hangs, from another thread, and nothing afterwards."""


class Job:
    """A running job: the client's workload, and the events that go to the client before the result.

    A function's handler is called with one and returns the result. Its methods may be called from any thread
    while the handler runs. They send at once, and wait for a slow server, so that nothing piles up.
    """

    __slots__ = ("_function", "_handle", "_reducer", "_sink", "_unique", "workload")

    stands_for_the_job: ClassVar[bool] = True

    workload: bytes
    """The submitted bytes."""

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
        """The function's registered name, without the worker's prefix."""
        return self._function

    @property
    def handle(self) -> str:
        """The server's name for the job, such as ``H:host:17``."""
        return text_of(self._handle)

    @property
    def unique(self) -> str:
        """The client's unique; empty if there is none or the server does not send it."""
        return text_of(self._unique)

    @property
    def reducer(self) -> str:
        """The reducer of a SUBMIT_REDUCE_JOB; empty for any other job."""
        return text_of(self._reducer)

    def status(self, numerator: int, denominator: int) -> None:
        """Send the progress: `job.status(3, 10)` is three tenths (WORK_STATUS).

        Raises:
            JobLostError: this worker has lost the job (see `data`).
        """
        self._send(p.WORK_STATUS, b"%d\0%d" % (numerator, denominator))

    def data(self, data: bytes | str) -> None:
        """Send the client a part of the result (WORK_DATA). Text is sent as UTF-8.

        Raises:
            JobLostError: the connection broke, or another worker has been given the job after a time-out. Let
                the exception pass: the result of this handler would be refused.
            ValueError: the data has more than `LARGEST_BODY` bytes.
        """
        self._send(p.WORK_DATA, bytes_of(data))

    def warning(self, warning: bytes | str) -> None:
        """Warn the client; the job goes on (WORK_WARNING). Text is sent as UTF-8.

        Raises:
            JobLostError: this worker has lost the job (see `data`).
        """
        self._send(p.WORK_WARNING, bytes_of(warning))

    async def drain(self) -> None:
        """Wait until the send buffer is nearly empty.

        A coroutine that sends large parts awaits this between them, as with asyncio's streams. In a plain
        function `data` waits by itself.
        """
        if self._sink is not None:
            await self._sink.drain()

    def end_from_outside(self, type: int, body: bytes) -> None:
        """End the job from another thread while its handler hangs, before the process is ended."""
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
"""The running job of this thread or coroutine."""
