"""One accepted connection: bytes from the socket to the broker, and the peer's outbox to the socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

import structlog

from ..broker.broker import Broker
from ..broker.state import Peer
from ..errors import PacketTooLargeError, ProtocolError
from ..wire import packets as p
from ..wire.codec import response
from ..wire.parser import Parser

if TYPE_CHECKING:
    from .server import Server

PAUSE_AT: Final = 1024 * 1024
"""Bytes waiting for a peer from which on nothing more is read from it, until it has read some."""

_log = structlog.get_logger("geartrain.server")


class Connection:
    """Feeds one peer's bytes to the broker and writes what the broker has for it.

    An `asyncio.Protocol` in all but name: this file is part of the hot path, and a compiled class has no
    interpreted base. A peer that does not read is paused first (nothing more is taken from it) and dropped
    when what waits for it passes `max_outbox`.
    """

    peer: Peer
    _transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._broker = server.broker
        self._parser = Parser(p.REQUEST, server.options.max_packet)
        self._max_outbox = server.options.max_outbox
        self._paused = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The connection is up."""
        self._transport = transport
        transport.set_write_buffer_limits(high=PAUSE_AT)
        socket = transport.get_extra_info("socket")
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else "unix"
        self.peer = Peer(address, socket.fileno(), self)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        """Cut the bytes into packets and let the broker act on each."""
        broker = self._broker
        try:
            packets = self._parser.feed(data)
        except ProtocolError as error:
            self._refuse(error)
            return
        peer = self.peer
        for type, body in packets:
            broker.receive(peer, type, body)
        write_touched(broker)
        if broker.needs_attention:
            self._server.attend()

    def eof_received(self) -> None:
        """The peer sends nothing more; asyncio closes the connection."""

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        self._server.closed(self)
        # Nothing is left in a cycle: the server does without the cyclic collector.
        self.peer.connection = None

    def pause_writing(self) -> None:
        """The peer reads more slowly than it is written to: take nothing more from it."""
        self._paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer has read most of it."""
        self._paused = False
        self._transport.resume_reading()

    def write_outbox(self) -> None:
        """Hand everything in the peer's outbox to the transport, in one write."""
        outbox = self.peer.outbox
        transport = self._transport
        if len(outbox) == 1:
            transport.write(outbox[0])
        elif len(outbox) < 8:
            transport.writelines(outbox)
        else:
            transport.write(b"".join(outbox))
        outbox.clear()
        if self._paused and transport.get_write_buffer_size() > self._max_outbox:
            self._drop("it does not read what it is sent")

    def close(self) -> None:
        """Close when what was written has gone out."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _refuse(self, error: ProtocolError) -> None:
        """Answer what was complete before the offending bytes, name the fault, and close."""
        for type, body in error.packets:
            self._broker.receive(self.peer, type, body)
        code = b"ARGUMENT_TOO_LARGE" if isinstance(error, PacketTooLargeError) else b"INVALID_PACKET"
        self._server.attend()
        self._transport.write(response(p.ERROR, code + b"\0" + str(error).encode()))
        _log.warning("connection refused", peer=self.peer.address, fd=self.peer.fd, reason=str(error))
        self._transport.close()

    def _drop(self, reason: str) -> None:
        _log.warning("connection dropped", peer=self.peer.address, fd=self.peer.fd, reason=reason)
        self._transport.abort()


def write_touched(broker: Broker) -> None:
    """Write the outbox of every peer that the broker touched.

    uvloop gathers what a turn of the loop writes to one socket and sends it at the turn's end.
    """
    if broker.touched:
        for peer in broker.take_touched():
            connection = peer.connection
            if connection is not None and peer.outbox:
                cast(Connection, connection).write_outbox()
