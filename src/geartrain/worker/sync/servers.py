"""All job servers of a loop: connecting to them, keeping an eye on them, and who is to be asked next."""

from __future__ import annotations

import math
import select
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from ...errors import ConnectionLostError
from ...signals import interruptibly
from ...wire.address import Address
from ..engine.engine import AWAKE, PROBE, Engine
from ..functions import Function, Table
from .connection import ANSWER_TIMEOUT, Connection
from .connector import LONGEST_PAUSE, Backoff, Dial

PROBE_INTERVAL: Final = 20.0
"""Seconds of silence after which a server is asked for a sign of life."""
COMPLAINT_INTERVAL: Final = 30.0
"""Seconds between two warnings that no server can be reached."""

_log = structlog.get_logger("geartrain.worker")


class Server:
    """One of the servers: its connection if there is one, and what is due when."""

    def __init__(self, address: Address, engine: Engine) -> None:
        self.address = address
        self.engine = engine
        self.connection: Connection | None = None
        self.dial: Dial | None = None
        self.backoff = Backoff()
        self.due = 0.0
        """When there is something to do: to connect, to probe, to give up waiting for an answer."""
        self.table: Mapping[bytes, Function] = {}
        """The functions that it was told of."""
        self.probed = False
        """Whether a probe is out."""
        self.answered = False
        """Whether it has answered on this connection."""
        self.since = 0.0
        """When this connection was made."""
        self.reason = ""
        """Why it could not be reached; empty while there is nothing to complain of."""


class Servers:
    """The servers of one loop; all but `wake` belongs to the loop's thread.

    Args:
        addresses: where they are.
        functions: what is announced to them.
        client_id: what they list the worker as.
        connect_timeout: seconds that an attempt to connect may take.
    """

    def __init__(
        self, addresses: Sequence[Address], functions: Table, client_id: str, connect_timeout: float
    ) -> None:
        self.awake: deque[Server] = deque()
        """Those that may have a job for us, the one whose turn it is first."""
        self.several = len(addresses) > 1
        self._functions = functions
        self._connect_timeout = connect_timeout
        self._servers = [
            Server(address, Engine(str(address), client_id.encode(), address.token)) for address in addresses
        ]
        self._by_descriptor: dict[int, Server] = {}
        self._poll = select.poll()
        self._waker, self._wakes = socket.socketpair()
        self._waker.setblocking(False)
        self._wakes.setblocking(False)
        self._poll.register(self._wakes, select.POLLIN)
        self._complained = -math.inf

    def wake(self) -> None:
        """Have `look` return; from any thread, and from a signal handler."""
        try:
            self._waker.send(b"\0")
        except OSError:
            pass  # full: it will wake. Closed: nobody looks any more.

    def look(self, timeout: float) -> None:
        """Wait `timeout` seconds at most for something to happen, and do what is due."""
        # Also when something is due: whether a server has answered shows only once it was read.
        wait = max(min(timeout, self._due - time.monotonic()), 0.0)
        for descriptor, _ in interruptibly(self._poll.poll, math.ceil(wait * 1000)):
            server = self._by_descriptor.get(descriptor)
            if server is None:
                self._wakes.recv(4096)
                self._dialled()
            else:
                self._read(server)
        now = time.monotonic()
        if now >= self._due:
            for server in self._servers:
                if now >= server.due:
                    self._do_what_is_due(server, now)

    @property
    def _due(self) -> float:
        return min(server.due for server in self._servers)

    def _read(self, server: Server) -> None:
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

    def _do_what_is_due(self, server: Server, now: float) -> None:
        connection = server.connection
        if connection is None:
            server.due = math.inf
            server.dial = Dial(server.address, self._connect_timeout, self.wake)
        elif connection.heard:
            connection.heard = server.probed = False
            server.due = now + PROBE_INTERVAL
        elif server.probed:
            self.lost(server, f"no answer for {ANSWER_TIMEOUT:g} seconds")
        else:
            server.probed = True
            server.due = now + ANSWER_TIMEOUT
            self._send(server, PROBE)

    def _dialled(self) -> None:
        """Take up the connections that were made meanwhile."""
        for server in self._servers:
            dial = server.dial
            if dial is None:
                continue
            connected = dial.take()
            if connected is not None:
                server.dial = None
                self._opened(server, Connection(server.engine, connected))
            elif dial.error:
                server.dial = None
                self._retry(server, dial.error)

    def _opened(self, server: Server, connection: Connection) -> None:
        now = time.monotonic()
        server.connection = connection
        server.since = now
        server.answered = False
        server.probed = True
        server.due = now + ANSWER_TIMEOUT
        server.table = self._functions.table
        self._by_descriptor[connection.fileno()] = server
        self._poll.register(connection, select.POLLIN)
        self._send(server, server.engine.connected(server.table))

    def _answered(self, server: Server) -> None:
        server.answered = True
        server.reason = ""
        _log.info("connected to the job server", server=server.engine.server)

    def lost(self, server: Server, reason: str) -> None:
        """The connection of a server is of no use any more; make a new one in a while. May be told twice."""
        connection = server.connection
        if connection is None:
            return
        del self._by_descriptor[connection.fileno()]
        self._poll.unregister(connection)
        connection.close()
        server.connection = None
        if server in self.awake:
            self.awake.remove(server)
        # Not at the first answer: a server that hangs up on each connection is not to be met in haste.
        if time.monotonic() > server.since + LONGEST_PAUSE:
            server.backoff.reset()
        self._retry(server, reason)

    def _retry(self, server: Server, reason: str) -> None:
        pause = server.backoff.pause()
        now = time.monotonic()
        server.due = now + pause
        if not server.reason:
            _log.warning("the job server is gone, trying again", server=server.engine.server, reason=reason)
        server.reason = reason
        reasons = {each.engine.server: each.reason for each in self._servers if each.reason}
        if len(reasons) == len(self._servers) and now >= self._complained + COMPLAINT_INTERVAL:
            self._complained = now
            _log.warning("no job server can be reached, still trying", servers=reasons)

    def _send(self, server: Server, data: bytes) -> None:
        assert server.connection is not None
        try:
            server.connection.send(data)
        except ConnectionLostError as error:
            self.lost(server, error.reason)

    def forked(self) -> list[int]:
        """In a forked process: give up all connections; return the descriptors that are the parent's."""
        descriptors = [self._waker.fileno(), self._wakes.fileno()]
        for server in self._servers:
            connection = server.connection
            if connection is not None:
                descriptors.append(connection.fileno())
                connection.forked()
        return descriptors

    # What a loop does with them

    def announce(self) -> None:
        """Tell each server which functions have changed. Not while a grab is out."""
        table = self._functions.table
        for server in self._servers:
            if server.connection is not None and server.table is not table:
                server.table = table
                self._send(server, server.engine.announce(table))

    def close(self, at_once: bool = False) -> None:
        """Part from all servers: when they have read our last words, or at once."""
        for server in self._servers:
            if server.dial is not None:
                server.dial.give_up()
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
