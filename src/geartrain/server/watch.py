"""A look at every connection once a second: who stalls, who idles, who does not read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .connection import Connection
from .options import ServerOptions

EVERY: Final = 1.0
"""Seconds between two looks."""


class Watch:
    """Drops the connections of one server that pass their limits of time, and the worst readers.

    Args:
        connections: all of them, as the server keeps them.
        clogged: those that read more slowly than they are written to.
    """

    def __init__(
        self, options: ServerOptions, connections: set[Connection], clogged: set[Connection]
    ) -> None:
        self._limits = options.limits
        self._timeouts = options.timeouts
        self._connections = connections
        self._clogged = clogged
        self._next = 0.0

    def look(self, now: float) -> None:
        """Time has passed; does nothing until the next look is due."""
        if now < self._next:
            return
        self._next = now + EVERY
        if self._clogged:
            self._look_at_readers(now)
        timeouts = self._timeouts
        if timeouts.packet or timeouts.idle:
            # Most connections are as innocent as can be, so this asks as little of each as it can.
            shortest = min(filter(None, (timeouts.packet, timeouts.idle)))
            for connection in [c for c in self._connections if now - c.heard_at >= shortest]:
                self._look_at(connection, now - connection.heard_at)

    def _look_at(self, connection: Connection, silence: float) -> None:
        if connection.is_paused:
            return
        timeouts = self._timeouts
        if connection.is_amid_packet:
            if timeouts.packet and silence >= timeouts.packet:
                connection.drop("a packet that had begun did not go on")
        elif timeouts.idle and silence >= timeouts.idle and connection.peer.is_idle:
            connection.drop("it neither works nor waits for a job")

    def _look_at_readers(self, now: float) -> None:
        clogged = self._clogged
        if self._timeouts.reader:
            for connection in list(clogged):
                connection.judge(now, self._timeouts.reader)
        limit = self._limits.outboxes
        if limit:
            size: Callable[[Connection], int] = lambda connection: connection.waiting  # noqa: E731
            waiting = sum(map(size, clogged))
            for connection in sorted(clogged, key=size, reverse=True):
                if waiting <= limit:
                    break
                waiting -= connection.waiting
                connection.drop("too much waits for peers that do not read, and the most for this one")
