"""When what the broker has for its peers is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from ..broker.broker import Broker
from ..broker.state import Peer
from .connection import Connection
from .trace import Trace

MANY: Final = 4
"""Foreground jobs that a client still waits for, from which on it is told of the others together."""
TOGETHER: Final = 0.001
"""Seconds for which that is gathered at most."""


class Writer:
    """Writes the outboxes of the peers that the broker touched: one write per peer and chunk that was read.

    A client that waits for many jobs is in no hurry for each single one: it has the ends of several in one
    write, and so spares itself and the server most of their system calls. It is told at once when few are
    left, so it never runs dry, and when it has asked for something itself.

    Args:
        call_later: the event loop's; None to write everything at once.
    """

    def __init__(
        self, broker: Broker, call_later: Callable[[float, Callable[[], None]], Any] | None = None
    ) -> None:
        self._outboxes = broker.outboxes
        self._call_later = call_later
        self._late: list[Peer] = []
        # What logs every packet, while debug messages are logged.
        self.trace: Trace | None = None

    def write_after(self, source: Peer) -> None:
        """Write what the broker has to say to what one peer sent."""
        outboxes = self._outboxes
        if outboxes.touched:
            # A job's worker before its client: the one can begin while the other reads that there is a job.
            for peer in reversed(outboxes.take_touched()):
                connection: Connection | None = peer.connection
                if connection is None:
                    continue
                if peer is not source and len(peer.waits_for) >= MANY:
                    self._write_later(peer, connection)
                elif peer.outbox or connection.has_news:
                    connection.write_outbox()
        if outboxes.held_up:
            self._hold_up()

    def write_after_option(self) -> None:
        """Write what the broker has to say to an option that came alone, in a moment.

        libgearman sends one so to each of its servers and waits. If the first has answered before it looks
        and another has not, it never looks at the first one again, and its program hangs.
        """
        for peer in self._outboxes.take_touched():
            if peer.connection is not None:
                self._write_later(peer, peer.connection)

    def write_all(self) -> None:
        """Write everything now."""
        self.write_late()
        for peer in reversed(self._outboxes.take_touched()):
            _write_to(peer)
        self._hold_up()

    def write_late(self) -> None:
        """Write what was gathered."""
        late = self._late
        self._late = []
        for peer in late:
            _write_to(peer)

    def _write_later(self, peer: Peer, connection: Connection) -> None:
        if self._call_later is None:
            connection.write_outbox()
        elif connection.gather():
            if not self._late:
                self._call_later(TOGETHER, self.write_late)
            self._late.append(peer)

    def _hold_up(self) -> None:
        """Read nothing from workers that send to peers that do not read."""
        for reader, producer in self._outboxes.take_held_up():
            if reader.connection is not None and producer.connection is not None:
                cast(Connection, reader.connection).hold_up(cast(Connection, producer.connection))


def _write_to(peer: Peer) -> None:
    connection: Connection | None = peer.connection
    if connection is not None and connection.has_news:
        connection.write_outbox()
