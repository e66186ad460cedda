"""One open connection to a job server on an event loop, with several running jobs."""

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
from ...wire.text import text_of
from ..engine import keepalive
from ..engine.engine import AWAKE, GRABBING, PROBE, Assignment, WorkerEngine, job_packet
from ..engine.keepalive import ANSWER_TIMEOUT, NO_ANSWER, PROBE_INTERVAL, reason_of
from ..forks import FORKED
from ..functions import Function
from ..job import Sink

TLS_FAREWELL_TIMEOUT: Final = 35.0
"""Seconds; asyncio closes a TLS connection after thirty."""
BACKLOG: Final = 16 * 1024 * 1024
"""Bytes of events that are buffered for a slow server."""


_NOT_OPEN: Final = asyncio.Transport()


class Owner(Protocol):
    """The loop that a connection belongs to."""

    def assigned(self, sink: JobSink, assignment: Assignment) -> None:
        """Run a job, to be ended with `sink.end`."""

    def answered(self, connection: AioConnection) -> None:
        """Note that the server has sent something, perhaps the answer to a grab."""


class AioConnection(asyncio.Protocol):
    """A connection. It is lost as soon as `lost` is done, which holds the reason.

    It belongs to its event loop, `loop`, which runs in `thread`.
    """

    def __init__(self, engine: WorkerEngine, table: Mapping[bytes, Function], owner: Owner) -> None:
        self.engine = engine
        self.table = table
        """Functions announced to the server."""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.is_parents = False
        """Whether the connection belongs to the parent of this forked process."""
        self.sinks: dict[bytes, JobSink] = {}
        """Running jobs by handle, with the newest sink of each."""
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.transport: asyncio.Transport = _NOT_OPEN
        self._owner = owner
        self._heard = False
        self._probed = False
        self._check: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()

    # Callbacks of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        # uvloop's transports have the methods and not the class.
        self.transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        if connected.family != socket.AF_UNIX:
            tune(connected)
        self._probed = True  # the greeting ends with a probe
        self._check = self.loop.call_later(ANSWER_TIMEOUT, self._check_on_it)
        self.transport.write(self.engine.connected(self.table))

    def data_received(self, data: bytes) -> None:
        """Handle the server's packets."""
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
            self._owner.assigned(JobSink(self, assignment.handle), assignment)
        self._owner.answered(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end of the connection."""
        self.lose(reason_of(error) if error else "the job server closed the connection")

    def pause_writing(self) -> None:
        """Note that the send buffer is full."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Note that the send buffer is nearly empty."""
        self._room.set()

    # For the loop

    @property
    def awake(self) -> bool:
        """Whether the loop may grab here."""
        return self.engine.state == AWAKE and self._is_open

    @property
    def grabbing(self) -> bool:
        """Whether a grab is outstanding."""
        return self.engine.state == GRABBING and self._is_open

    @property
    def _is_open(self) -> bool:
        """Whether the connection is made: before, the engine may have the state of the last one."""
        return self.transport is not _NOT_OPEN and not self.lost.done()

    def announce(self, table: Mapping[bytes, Function]) -> None:
        """Announce changed functions. Not while a grab is outstanding."""
        self.table = table
        if self._is_open and (changes := self.engine.announce(table)):
            self.transport.write(changes)

    def grab(self) -> None:
        """Ask for a job."""
        self.transport.write(self.engine.grab())

    async def drain(self) -> None:
        """Wait until the send buffer is nearly empty."""
        if self._room.is_set() or self.lost.done():
            return
        await self._room.wait()

    # The end

    def lose(self, reason: str) -> None:
        """Close the connection at once."""
        if self._check is not None:
            self._check.cancel()
        if not self.lost.done():
            self.lost.set_result(reason)
            self._room.set()
            if self.transport is not _NOT_OPEN:
                self.transport.abort()

    def forked(self) -> int:
        """Stop writing in a forked process; return the parent's descriptor, or -1."""
        self.is_parents = True
        if self.transport is _NOT_OPEN:
            return -1
        connected = self.transport.get_extra_info("socket")
        return -1 if connected is None else int(connected.fileno())

    async def hang_up(self) -> None:
        """Close once the server has read everything or stops reading."""
        if not self._is_open:
            self.lose("closed")
            return
        with contextlib.suppress(OSError, RuntimeError):
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()  # TLS: this still writes the send buffer
        left = math.inf
        while not self.lost.done() and (size := self.transport.get_write_buffer_size()) < left:
            left = size or -1
            # The size lacks the bytes that TLS has encrypted already; asyncio bounds that part itself.
            patience = keepalive.FAREWELL_TIMEOUT if self.transport.can_write_eof() else TLS_FAREWELL_TIMEOUT
            await asyncio.wait([self.lost], timeout=patience)
        self.lose("closed")

    def _check_on_it(self) -> None:
        """Probe a silent server, and give up one that does not answer."""
        if self._heard:
            self._heard = self._probed = False
            self._check = self.loop.call_later(PROBE_INTERVAL, self._check_on_it)
        elif self._probed:
            self.lose(NO_ANSWER)
        else:
            self._probed = True
            self.transport.write(PROBE)
            self._check = self.loop.call_later(ANSWER_TIMEOUT, self._check_on_it)


class JobSink(Sink):
    """A running job on a connection: the destination of its events and its end.

    After a time-out the server may assign the same job again while its handler still runs. Events of the
    older run would be taken for the newer one's, so the older sink sends nothing more.
    """

    def __init__(self, connection: AioConnection, handle: bytes) -> None:
        self.connection = connection
        self._handle = handle
        self._ended = False
        connection.sinks[handle] = self

    @property
    def _is_newest(self) -> bool:
        return self.connection.sinks.get(self._handle) is self

    def end(self, type: int, body: bytes | None, grab: bool) -> None:
        """Send the end of the job, unless another thread did, and grab the next one if `grab`."""
        connection = self.connection
        if connection.lost.done():
            return  # the engine has moved on to another connection, where the same job may be running
        self._ended = True
        parts = []
        if self._is_newest:
            del connection.sinks[self._handle]
            if connection.engine.ended(self._handle):
                parts.append(job_packet(type, self._handle, body))
        if grab and connection.awake:
            parts.append(connection.engine.grab())
        connection.transport.writelines(parts)

    def send_event(self, type: int, handle: bytes, body: bytes) -> None:
        """Write an event of a running job. From another thread this waits for a slow server.

        Raises:
            JobLostError: the server has taken the job away, or this run of it.
            RuntimeError: the job has ended.
            BufferError: a coroutine sends faster than the server reads, without `await job.drain()`.
        """
        connection = self.connection
        self._check_connection()  # after a loss the event loop may have ended, too
        if threading.get_ident() == connection.thread:
            self._send_event(type, body)
            if connection.transport.get_write_buffer_size() > BACKLOG:
                raise BufferError("the server is slow to read: await job.drain() between the parts")
        else:

            async def send() -> None:
                self._send_event(type, body)
                await self.drain()

            asyncio.run_coroutine_threadsafe(send(), connection.loop).result()

    def _send_event(self, type: int, body: bytes) -> None:
        connection = self.connection
        self._check_connection()
        if self._ended:
            raise RuntimeError("the job has ended, nothing more can be sent for it")
        if not self._is_newest or self._handle in connection.engine.revoked:
            raise JobLostError("the job server took the job away, its time was over", text_of(self._handle))
        connection.transport.write(job_packet(type, self._handle, body))

    def _check_connection(self) -> None:
        connection = self.connection
        if connection.is_parents:
            raise JobLostError(FORKED, text_of(self._handle))
        if connection.lost.done():
            raise JobLostError(
                f"{connection.engine.server}: {connection.lost.result()}", text_of(self._handle)
            )

    async def drain(self) -> None:
        """Wait until the send buffer is nearly empty."""
        await self.connection.drain()

    def send_end_from_outside(self, type: int, handle: bytes, body: bytes) -> None:
        """Send the end of a job from another thread while the event loop hangs, and nothing afterwards.

        Nothing is sent while the send buffer holds a part of another packet, or over TLS, which only the
        event loop can write.
        """
        connection = self.connection
        if connection.lost.done() or connection.transport.get_write_buffer_size() or not self._is_newest:
            return
        if connection.transport.get_extra_info("ssl_object") is not None or not connection.engine.ended(
            self._handle
        ):
            return
        self._ended = True
        with contextlib.suppress(OSError):
            descriptor = connection.transport.get_extra_info("socket").fileno()
            with socket.socket(fileno=socket.dup(descriptor)) as own:
                own.settimeout(ANSWER_TIMEOUT)
                own.sendall(job_packet(type, self._handle, body))
