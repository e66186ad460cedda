"""One open connection to a job server: how it is read from and written to."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from typing import Final, Never

from ...errors import ConnectionLostError, JobLostError, ProtocolError
from ...signals import interruptibly
from ...spin import MAY_LOOK, look
from ...wire.codec import request_head
from ..engine.engine import Assignment, Engine
from ..forks import FORKED

ANSWER_TIMEOUT: Final = 10.0
"""Seconds that a server may take to answer a grab or a probe, or to take some of what it is sent."""
FAREWELL_TIMEOUT = 1.0
"""Seconds that a server may take to read our last words and hang up."""
_CHUNK: Final = 60 * 1024
"""Bytes that are read at once. From 64 KiB on the C library would tidy its memory up after each read."""
_LARGE: Final = 64 * 1024
"""Bytes from which on a body is written from where it is, not copied behind its header."""


class Connection:
    """An open connection. After a `ConnectionLostError` it is of no use but to be closed.

    It belongs to the thread of its loop, except while a handler runs: then any thread may `send_event`.
    """

    def __init__(self, engine: Engine, connected: socket.socket) -> None:
        self.engine = engine
        self.heard = False
        """Whether the server has sent something since this was set to False."""
        self.lost = ""
        """Why the connection is of no use any more."""
        # Blocking, and reads time out in the kernel: so a read is one system call, not a poll and a read.
        connected.settimeout(None)
        connected.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(ANSWER_TIMEOUT), 0)
        )
        self._socket = connected
        self._readable = select.poll()
        self._readable.register(connected, select.POLLIN)
        # A handler's threads may send events at the same time.
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """The socket's descriptor, for polling."""
        return self._socket.fileno()

    # Reading

    def receive(self) -> Assignment | None:
        """Wait for some bytes and act on them; returns the job if they assign one.

        Raises:
            ConnectionLostError: the server hung up, did not answer in time, or does not speak the protocol.
        """
        return self._receive(0)

    def receive_now(self) -> Assignment | None:
        """Like `receive`, without waiting."""
        return self._receive(socket.MSG_DONTWAIT)

    def _receive(self, flags: int) -> Assignment | None:
        try:
            if MAY_LOOK and not flags and self.engine.next_job_is_near:
                look(self._readable.poll)
            data = interruptibly(self._socket.recv, _CHUNK, flags)
        except BlockingIOError:
            if flags:
                return None
            self._lose(f"no answer for {ANSWER_TIMEOUT:g} seconds")
        except OSError as error:
            self._lose(_reason(error))
        if not data:
            self._lose("the job server closed the connection")
        self.heard = True
        engine = self.engine
        try:
            assignment = engine.receive(data)
        except ProtocolError as error:
            self._lose(str(error))
        if engine.reply:
            reply, engine.reply = engine.reply, b""
            self.send(reply)
        return assignment

    # Writing

    def send(self, data: bytes | memoryview) -> None:
        """Write all of it.

        Raises:
            ConnectionLostError: the connection broke, or the server takes nothing any more.
        """
        try:
            sent = self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(_reason(error))
        if sent < len(data):
            self._send_slowly(memoryview(data)[sent:])

    def end_events(self, handle: bytes) -> bool:
        """The handler has returned: no more events of this job. Returns whether its end is to be sent.

        If not it was told from outside, and nothing more can be sent on this connection.

        Raises:
            ConnectionLostError: the connection broke while the handler ran.
        """
        with self._lock:
            untold = self.engine.ended(handle)
        if self.lost:
            self._lose(self.lost)
        return untold

    def send_end(self, type: int, handle: bytes, body: bytes | None, follow: bytes) -> None:
        """Write the end of a job and, in the same breath, what follows it.

        Raises:
            ConnectionLostError: see `send`.
        """
        self._send_packet(type, handle, body, follow)

    def send_event(self, type: int, handle: bytes, body: bytes) -> None:
        """Write an event of a running job, at once.

        Raises:
            JobLostError: the job is not ours any more.
            RuntimeError: the job has ended.
        """
        engine = self.engine
        with self._lock:
            if handle not in engine.running:
                raise RuntimeError("the job has ended, nothing more can be sent for it")
            try:
                if self.lost:
                    self._lose(self.lost)
                # Also keeps the server's errors from piling up until it stops reading what we send.
                if self._readable.poll(0):
                    self.receive_now()
                if handle not in engine.disowned:
                    self._send_packet(type, handle, body, b"")
                    return
                reason = "the job server took the job away, its time was over"
            except ConnectionLostError as error:
                reason = str(error)
        raise JobLostError(reason, handle.decode("utf-8", "surrogateescape"))

    async def drain(self) -> None:
        """Nothing to wait for: `send_event` waits by itself."""

    def send_end_from_outside(self, type: int, handle: bytes, body: bytes) -> None:
        """Tell how a job has ended whose handler hangs, from another thread, and then nothing more.

        The socket is the loop's, which may go on at any moment: only the loop closes it, and not before this
        is done.
        """
        with self._lock, contextlib.suppress(ConnectionLostError):
            if not self.lost and self.engine.ended(handle):
                self._send_packet(type, handle, body, b"")
                self._say_farewell()

    def _send_packet(self, type: int, handle: bytes, body: bytes | None, follow: bytes) -> None:
        if body is None:
            self.send(b"%b%b%b" % (request_head(type, len(handle)), handle, follow))
            return
        head = request_head(type, len(handle) + 1 + len(body))
        if len(body) < _LARGE:
            self.send(b"%b%b\0%b%b" % (head, handle, body, follow))
        else:
            self.send(b"%b%b\0" % (head, handle))
            self.send(body)
            if follow:
                self.send(follow)

    def _send_slowly(self, rest: memoryview) -> None:
        """Write what did not fit into the socket's buffer, and read meanwhile what the server has to say."""
        ready = select.poll()
        ready.register(self._socket, select.POLLIN | select.POLLOUT)
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while True:
            found = interruptibly(ready.poll, max(0.0, deadline - time.monotonic()) * 1000)
            if not found:
                self._lose(f"the job server took nothing for {ANSWER_TIMEOUT:g} seconds")
            if not found[0][1] & select.POLLOUT:
                # While something is written no grab is out, so this is no job.
                self.receive_now()
                continue
            try:
                sent = self._socket.send(rest, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lose(_reason(error))
            rest = rest[sent:]
            if not rest:
                return
            deadline = time.monotonic() + ANSWER_TIMEOUT

    # The end

    def forked(self) -> None:
        """In a forked process: write and read nothing any more; the connection is the parent's."""
        self.lost = FORKED
        # Another thread of the parent may have held it.
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close at once."""
        self._socket.close()

    def hang_up(self) -> None:
        """Close when the server has read all that was written."""
        self._say_farewell()
        self._socket.close()

    def _say_farewell(self) -> None:
        """Write nothing more, and wait until the server has read what was written.

        Closing a socket while something unread has arrived on it would destroy what is on its way to the
        server: the result of the last job.
        """
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(FAREWELL_TIMEOUT)
            deadline = time.monotonic() + FAREWELL_TIMEOUT
            while self._socket.recv(_CHUNK) and time.monotonic() < deadline:
                pass

    def _lose(self, reason: str) -> Never:
        self.lost = reason
        raise ConnectionLostError(self.engine.server, reason) from None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
