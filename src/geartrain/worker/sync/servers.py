"""All job servers of a loop: connecting, probing, and the order in which they are asked for jobs."""

from __future__ import annotations

import math
import select
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence

from ...errors import ConnectionLostError
from ...signals import call_checking_signals
from ...wire.address import Address
from ..engine.engine import AWAKE, PROBE, WorkerEngine
from ..engine.keepalive import ANSWER_TIMEOUT, NO_ANSWER, PROBE_INTERVAL, Backoff, ConnectionLog
from ..functions import Function, FunctionSource
from .connection import SyncConnection
from .connector import ConnectAttempt


class ServerState:
    """One server: its connection, if any, and its next deadline."""

    def __init__(self, address: Address, engine: WorkerEngine) -> None:
        self.address = address
        self.engine = engine
        self.connection: SyncConnection | None = None
        self.attempt: ConnectAttempt | None = None
        self.backoff = Backoff()
        self.due = 0.0
        """Time to connect, to probe, or to give up waiting for an answer."""
        self.table: Mapping[bytes, Function] = {}
        """Functions announced to it."""
        self.probed = False
        """Whether a probe is outstanding."""
        self.answered = False
        """Whether it has sent anything on this connection."""


class Servers:
    """The servers of one loop. All methods but `wake` belong to the loop's thread.

    Args:
        addresses: addresses of the servers.
        functions: source of the functions to announce.
        client_id: name of the worker in the servers' lists.
        connect_timeout: seconds for one attempt to connect.
    """

    def __init__(
        self, addresses: Sequence[Address], functions: FunctionSource, client_id: str, connect_timeout: float
    ) -> None:
        self.awake: deque[ServerState] = deque()
        """Servers that may have a job, next one first."""
        self.several = len(addresses) > 1
        self._functions = functions
        self._connect_timeout = connect_timeout
        self._servers = [
            ServerState(address, WorkerEngine(str(address), client_id.encode(), address.token))
            for address in addresses
        ]
        self._by_descriptor: dict[int, ServerState] = {}
        self._poll = select.poll()
        self._waker, self._wakes = socket.socketpair()
        self._waker.setblocking(False)
        self._wakes.setblocking(False)
        self._poll.register(self._wakes, select.POLLIN)
        self._log = ConnectionLog([str(address) for address in addresses])

    def wake(self) -> None:
        """Make `look` return; from any thread or signal handler."""
        try:
            self._waker.send(b"\0")
        except OSError:
            pass  # full: `look` will return anyway; closed: the loop has ended

    def look(self, timeout: float) -> None:
        """Wait for up to `timeout` seconds for events, handle them, and act on passed deadlines."""
        # Poll before any deadline is acted on: an answer may be there already.
        wait = max(min(timeout, self._due - time.monotonic()), 0.0)
        for descriptor, _ in call_checking_signals(self._poll.poll, math.ceil(wait * 1000)):
            server = self._by_descriptor.get(descriptor)
            if server is None:
                self._wakes.recv(4096)
                self._take_connected()
            else:
                self._read(server)
        now = time.monotonic()
        if now >= self._due:
            for server in self._servers:
                if now >= server.due:
                    self._act_on_deadline(server, now)

    @property
    def _due(self) -> float:
        return min(server.due for server in self._servers)

    def _read(self, server: ServerState) -> None:
        connection = server.connection
        assert connection is not None
        before = server.engine.state
        try:
            connection.receive_now()
        except ConnectionLostError as error:
            self.lost(server, error.reason)
            return
        if not server.answered:
            self._answered(server)
        if before != AWAKE and server.engine.state == AWAKE:
            self.awake.append(server)

    # Coming and going

    def _act_on_deadline(self, server: ServerState, now: float) -> None:
        connection = server.connection
        if connection is None:
            server.due = math.inf
            server.attempt = ConnectAttempt(server.address, self._connect_timeout, self.wake)
        elif connection.heard:
            connection.heard = server.probed = False
            server.due = now + PROBE_INTERVAL
        elif server.probed:
            self.lost(server, NO_ANSWER)
        else:
            server.probed = True
            server.due = now + ANSWER_TIMEOUT
            self._send(server, PROBE)

    def _take_connected(self) -> None:
        """Use the connections that were made meanwhile."""
        for server in self._servers:
            attempt = server.attempt
            if attempt is None:
                continue
            connected = attempt.take()
            if connected is not None:
                server.attempt = None
                self._opened(server, SyncConnection(server.engine, connected))
            elif attempt.error:
                server.attempt = None
                self._retry(server, attempt.error)

    def _opened(self, server: ServerState, connection: SyncConnection) -> None:
        now = time.monotonic()
        server.connection = connection
        server.backoff.connected()
        server.answered = False
        server.probed = True
        server.due = now + ANSWER_TIMEOUT
        server.table = self._functions.table
        self._by_descriptor[connection.fileno()] = server
        self._poll.register(connection, select.POLLIN)
        self._send(server, server.engine.connected(server.table))

    def _answered(self, server: ServerState) -> None:
        server.answered = True
        self._log.connected(server.engine.server)

    def lost(self, server: ServerState, reason: str) -> None:
        """Close a server's lost connection and make a new one after a pause. A second call does nothing."""
        connection = server.connection
        if connection is None:
            return
        del self._by_descriptor[connection.fileno()]
        self._poll.unregister(connection)
        connection.close()
        server.connection = None
        if server in self.awake:
            self.awake.remove(server)
        server.backoff.lost()
        self._retry(server, reason)

    def _retry(self, server: ServerState, reason: str) -> None:
        server.due = time.monotonic() + server.backoff.pause()
        self._log.lost(server.engine.server, reason)

    def _send(self, server: ServerState, data: bytes) -> None:
        assert server.connection is not None
        try:
            server.connection.send(data)
        except ConnectionLostError as error:
            self.lost(server, error.reason)

    def forked(self) -> list[int]:
        """Give up all connections in a forked process; return the parent's descriptors."""
        descriptors = [self._waker.fileno(), self._wakes.fileno()]
        for server in self._servers:
            connection = server.connection
            if connection is not None:
                descriptors.append(connection.fileno())
                connection.forked()
        return descriptors

    # For the loop

    def announce(self) -> None:
        """Announce changed functions to each server. Not while a grab is outstanding."""
        table = self._functions.table
        for server in self._servers:
            if server.connection is not None and server.table is not table:
                server.table = table
                self._send(server, server.engine.announce(table))

    def close(self, at_once: bool = False) -> None:
        """Close all connections, once the servers have read everything or at once."""
        for server in self._servers:
            if server.attempt is not None:
                server.attempt.give_up()
            connection = server.connection
            if connection is None:
                continue
            server.connection = None
            if at_once:
                connection.close()
            else:
                connection.hang_up()
        self.awake.clear()
        self._waker.close()
        self._wakes.close()
