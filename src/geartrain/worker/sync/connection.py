"""One open connection to a job server, over a blocking socket."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from typing import Final, Never

from ...errors import ConnectionLostError, JobLostError, ProtocolError
from ...signals import call_checking_signals
from ...spin import MAY_SPIN, spin_poll
from ...wire.codec import request_head
from ..engine import keepalive
from ..engine.engine import Assignment, WorkerEngine
from ..engine.keepalive import ANSWER_TIMEOUT, NO_ANSWER, reason_of
from ..forks import FORKED

_READ_SIZE: Final = 60 * 1024
"""Bytes of one read. From 64 KiB on the C library trims its heap after each one."""
_UNCOPIED_SIZE: Final = 64 * 1024
"""Bytes of a body that is written by itself, not copied behind its header."""


class SyncConnection:
    """An open connection. After a `ConnectionLostError` it can only be closed.

    It belongs to the thread of its loop. While a handler runs, any thread may call `send_event`.
    """

    def __init__(self, engine: WorkerEngine, connected: socket.socket) -> None:
        self.engine = engine
        self.heard = False
        """Whether the server has sent anything since this was set to False."""
        self.lost = ""
        """Reason why the connection is lost; empty before."""
        # Blocking, with a timeout of the kernel: one system call a read in place of a poll and a read.
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
        """Return the socket's descriptor."""
        return self._socket.fileno()

    # Reading

    def receive(self) -> Assignment | None:
        """Wait for bytes and handle their packets; return the job if they assign one.

        Raises:
            ConnectionLostError: the server closed the connection, did not answer in time, or broke the
                protocol.
        """
        return self._receive(0)

    def receive_now(self) -> Assignment | None:
        """Do the same without waiting."""
        return self._receive(socket.MSG_DONTWAIT)

    def _receive(self, flags: int) -> Assignment | None:
        try:
            if MAY_SPIN and not flags and self.engine.next_job_is_near:
                spin_poll(self._readable.poll)
            data = call_checking_signals(self._socket.recv, _READ_SIZE, flags)
        except BlockingIOError:
            if flags:
                return None
            self._lose(NO_ANSWER)
        except OSError as error:
            self._lose(reason_of(error))
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
        """Write all bytes.

        Raises:
            ConnectionLostError: the connection broke, or the server accepts no more bytes.
        """
        try:
            sent = self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(reason_of(error))
        if sent < len(data):
            self._send_slowly(memoryview(data)[sent:])

    def end_events(self, handle: bytes) -> bool:
        """Refuse further events of a job whose handler returned; return whether its end has to be sent.

        False means that another thread has sent the end and closed the connection for writing.

        Raises:
            ConnectionLostError: the connection broke while the handler ran.
        """
        with self._lock:
            untold = self.engine.ended(handle)
        if self.lost:
            self._lose(self.lost)
        return untold

    def send_end(self, type: int, handle: bytes, body: bytes | None, follow: bytes) -> None:
        """Write the end of a job and the packet that follows it, together.

        Raises:
            ConnectionLostError: see `send`.
        """
        self._send_packet(type, handle, body, follow)

    def send_event(self, type: int, handle: bytes, body: bytes) -> None:
        """Write an event of a running job.

        Raises:
            JobLostError: the server has taken the job away.
            RuntimeError: the job has ended.
        """
        engine = self.engine
        with self._lock:
            if handle not in engine.running:
                raise RuntimeError("the job has ended, nothing more can be sent for it")
            try:
                if self.lost:
                    self._lose(self.lost)
                # Reading also keeps the server from blocking on unread errors.
                if self._readable.poll(0):
                    self.receive_now()
                if handle not in engine.revoked:
                    self._send_packet(type, handle, body, b"")
                    return
                reason = "the job server took the job away, its time was over"
            except ConnectionLostError as error:
                reason = str(error)
        raise JobLostError(reason, handle.decode("utf-8", "surrogateescape"))

    async def drain(self) -> None:
        """Return at once: `send_event` waits by itself."""

    def send_end_from_outside(self, type: int, handle: bytes, body: bytes) -> None:
        """Send the end of a job whose handler hangs, from another thread, and close the connection for
        writing.

        Only the loop closes the socket, after this is done.
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
        if len(body) < _UNCOPIED_SIZE:
            self.send(b"%b%b\0%b%b" % (head, handle, body, follow))
        else:
            self.send(b"%b%b\0" % (head, handle))
            self.send(body)
            if follow:
                self.send(follow)

    def _send_slowly(self, rest: memoryview) -> None:
        """Write the bytes that did not fit into the socket's buffer, and read meanwhile."""
        ready = select.poll()
        ready.register(self._socket, select.POLLIN | select.POLLOUT)
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while True:
            found = call_checking_signals(ready.poll, max(0.0, deadline - time.monotonic()) * 1000)
            if not found:
                self._lose(f"the job server accepted nothing for {ANSWER_TIMEOUT:g} seconds")
            if not found[0][1] & select.POLLOUT:
                # No grab is outstanding during a write, so this assigns no job.
                self.receive_now()
                continue
            try:
                sent = self._socket.send(rest, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lose(reason_of(error))
            rest = rest[sent:]
            if not rest:
                return
            deadline = time.monotonic() + ANSWER_TIMEOUT

    # The end

    def forked(self) -> None:
        """Stop reading and writing in a forked process; the connection is the parent's."""
        self.lost = FORKED
        # Another thread of the parent may hold the old one.
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close at once."""
        self._socket.close()

    def hang_up(self) -> None:
        """Close once the server has read everything."""
        self._say_farewell()
        self._socket.close()

    def _say_farewell(self) -> None:
        """Close for writing, and wait until the server has read everything.

        Closing a socket with unread input resets the connection, and the last result would be lost.
        """
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(keepalive.FAREWELL_TIMEOUT)
            deadline = time.monotonic() + keepalive.FAREWELL_TIMEOUT
            while self._socket.recv(_READ_SIZE) and time.monotonic() < deadline:
                pass

    def _lose(self, reason: str) -> Never:
        self.lost = reason
        raise ConnectionLostError(self.engine.server, reason) from None
