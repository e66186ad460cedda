"""One open connection to a job server on an event loop, with several jobs in hand."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import threading
from collections.abc import Mapping
from typing import Final, Protocol, cast

from ...errors import JobLostError, ProtocolError
from ...sockets import tune
from ...wire.codec import request_head
from ...wire.text import text_of
from ..engine.engine import AWAKE, GRABBING, PROBE, Assignment, Engine
from ..forks import FORKED
from ..functions import Function
from ..job import Sink
from ..sync.connection import ANSWER_TIMEOUT, FAREWELL_TIMEOUT
from ..sync.servers import PROBE_INTERVAL

TLS_FAREWELL_TIMEOUT: Final = 35.0
"""Seconds; asyncio gives up after thirty."""
BACKLOG: Final = 16 * 1024 * 1024
"""Bytes of events that a connection keeps for a server that is slow to take them."""


_NOT_OPEN: Final = asyncio.Transport()


class Owner(Protocol):
    """Who is told of what happens on a link."""

    def assigned(self, attempt: Attempt, assignment: Assignment) -> None:
        """A job has come, to be ended with `attempt.end`."""

    def answered(self, link: Link) -> None:
        """The server has said something; a grab may have been answered."""


class Link(asyncio.Protocol):
    """A connection; it is of no use any more as soon as `lost` is done, which holds the reason.

    It belongs to its event loop, `loop`, which runs in `thread`.
    """

    def __init__(self, engine: Engine, table: Mapping[bytes, Function], owner: Owner) -> None:
        self.engine = engine
        self.table = table
        """The functions that the server was told of."""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.is_parents = False
        """Whether this process was forked from the one that the connection belongs to."""
        self.attempts: dict[bytes, Attempt] = {}
        """The jobs in hand by their handles: of each the newest attempt."""
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.transport: asyncio.Transport = _NOT_OPEN
        self._owner = owner
        self._heard = False
        self._probed = False
        self._check: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        # Those of uvloop are transports by what they can do, not by their class.
        self.transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        if connected.family != socket.AF_UNIX:
            tune(connected)
        self._probed = True  # the greeting ends with a probe
        self._check = self.loop.call_later(ANSWER_TIMEOUT, self._check_on_it)
        self.transport.write(self.engine.connected(self.table))

    def data_received(self, data: bytes) -> None:
        """Act on what the server says."""
        self._heard = True
        engine = self.engine
        try:
            assignment = engine.receive(data)
        except ProtocolError as error:
            self.lose(str(error))
            return
        if engine.reply:
            reply, engine.reply = engine.reply, b""
            self.transport.write(reply)
        if assignment is not None:
            self._owner.assigned(Attempt(self, assignment.handle), assignment)
        self._owner.answered(self)

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        self.lose(_reason(error) if error else "the job server closed the connection")

    def pause_writing(self) -> None:
        """The server is slow to take what is sent."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It has taken most of it."""
        self._room.set()

    # What the worker says

    @property
    def awake(self) -> bool:
        """Whether a grab may be sent."""
        return self.engine.state == AWAKE and self._is_open

    @property
    def grabbing(self) -> bool:
        """Whether a grab is out."""
        return self.engine.state == GRABBING and self._is_open

    @property
    def _is_open(self) -> bool:
        """Not while it is being opened, when the engine may be as another connection left it."""
        return self.transport is not _NOT_OPEN and not self.lost.done()

    def announce(self, table: Mapping[bytes, Function]) -> None:
        """Tell the server which functions have changed. Not while a grab is out."""
        self.table = table
        if self._is_open and (changes := self.engine.announce(table)):
            self.transport.write(changes)

    def grab(self) -> None:
        """Ask for a job."""
        self.transport.write(self.engine.grab())

    async def drain(self) -> None:
        """Wait until the server has taken most of what was sent."""
        if self._room.is_set() or self.lost.done():
            return
        await self._room.wait()

    # The end

    def lose(self, reason: str) -> None:
        """The connection is of no use; close it at once."""
        if self._check is not None:
            self._check.cancel()
        if not self.lost.done():
            self.lost.set_result(reason)
            self._room.set()
            if self.transport is not _NOT_OPEN:
                self.transport.abort()

    def forked(self) -> int:
        """In a forked process: write nothing any more; return the parent's descriptor, or -1."""
        self.is_parents = True
        if self.transport is _NOT_OPEN:
            return -1
        connected = self.transport.get_extra_info("socket")
        return -1 if connected is None else int(connected.fileno())

    async def hang_up(self) -> None:
        """Close when the server has read all that was written, or stops reading."""
        if not self._is_open:
            self.lose("closed")
            return
        with contextlib.suppress(OSError, RuntimeError):
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()  # TLS: it writes what is left all the same
        left = math.inf
        while not self.lost.done() and (size := self.transport.get_write_buffer_size()) < left:
            left = size or -1
            # What TLS has encrypted already is not in that size; asyncio bounds its farewell by itself.
            patience = FAREWELL_TIMEOUT if self.transport.can_write_eof() else TLS_FAREWELL_TIMEOUT
            await asyncio.wait([self.lost], timeout=patience)
        self.lose("closed")

    def _check_on_it(self) -> None:
        """Notice a server that has stopped answering."""
        if self._heard:
            self._heard = self._probed = False
            self._check = self.loop.call_later(PROBE_INTERVAL, self._check_on_it)
        elif self._probed:
            self.lose(f"no answer for {ANSWER_TIMEOUT:g} seconds")
        else:
            self._probed = True
            self.transport.write(PROBE)
            self._check = self.loop.call_later(ANSWER_TIMEOUT, self._check_on_it)


class Attempt(Sink):
    """A job in hand on a link: where the events of its handler go, and its end.

    The server may give us the same job anew while its handler still runs, when its time was over. What the
    older attempt says would be taken for the newer one's, so it says nothing more.
    """

    def __init__(self, link: Link, handle: bytes) -> None:
        self.link = link
        self._handle = handle
        self._ended = False
        link.attempts[handle] = self

    @property
    def _is_newest(self) -> bool:
        return self.link.attempts.get(self._handle) is self

    def end(self, type: int, body: bytes | None, grab: bool) -> None:
        """The job has ended: tell the server, unless that was done from outside, and ask for another one."""
        link = self.link
        if link.lost.done():
            return  # the engine is of another connection now, where the same job may have come again
        self._ended = True
        parts = []
        if self._is_newest:
            del link.attempts[self._handle]
            if link.engine.ended(self._handle):
                parts.append(_packet(type, self._handle, body))
        if grab and link.awake:
            parts.append(link.engine.grab())
        link.transport.writelines(parts)

    def send_event(self, type: int, handle: bytes, body: bytes) -> None:
        """Write an event of a running job. From another thread this waits while the server is slow to read.

        Raises:
            JobLostError: the job is not ours any more, or this attempt at it is not.
            RuntimeError: the job has ended.
            BufferError: a coroutine sends faster than the server reads, and does not `await job.drain()`.
        """
        link = self.link
        self._check_connection()  # without it the event loop may have ended, too
        if threading.get_ident() == link.thread:
            self._send_event(type, body)
            if link.transport.get_write_buffer_size() > BACKLOG:
                raise BufferError("the server is slow to read: await job.drain() between the parts")
        else:

            async def send() -> None:
                self._send_event(type, body)
                await self.drain()

            asyncio.run_coroutine_threadsafe(send(), link.loop).result()

    def _send_event(self, type: int, body: bytes) -> None:
        link = self.link
        self._check_connection()
        if self._ended:
            raise RuntimeError("the job has ended, nothing more can be sent for it")
        if not self._is_newest or self._handle in link.engine.disowned:
            raise JobLostError("the job server took the job away, its time was over", text_of(self._handle))
        link.transport.write(_packet(type, self._handle, body))

    def _check_connection(self) -> None:
        link = self.link
        if link.is_parents:
            raise JobLostError(FORKED, text_of(self._handle))
        if link.lost.done():
            raise JobLostError(f"{link.engine.server}: {link.lost.result()}", text_of(self._handle))

    async def drain(self) -> None:
        """Wait until the server has taken most of what was sent."""
        await self.link.drain()

    def send_end_from_outside(self, type: int, handle: bytes, body: bytes) -> None:
        """Tell how a job has ended while the event loop hangs; from another thread, and then nothing more.

        Nothing is told if a part of another packet still waits to be written, and nothing over TLS, which
        only the event loop can write.
        """
        link = self.link
        if link.lost.done() or link.transport.get_write_buffer_size() or not self._is_newest:
            return
        if link.transport.get_extra_info("ssl_object") is not None or not link.engine.ended(self._handle):
            return
        self._ended = True
        with contextlib.suppress(OSError):
            descriptor = link.transport.get_extra_info("socket").fileno()
            with socket.socket(fileno=socket.dup(descriptor)) as own:
                own.settimeout(ANSWER_TIMEOUT)
                own.sendall(_packet(type, self._handle, body))


def _packet(type: int, handle: bytes, body: bytes | None) -> bytes:
    if body is None:
        return request_head(type, len(handle)) + handle
    return b"%b%b\0%b" % (request_head(type, len(handle) + 1 + len(body)), handle, body)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or repr(error)
