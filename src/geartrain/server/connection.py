"""One accepted connection: bytes from the socket to the broker, and the peer's outbox to the socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

import structlog

from ..broker import Peer
from ..errors import PacketTooLargeError, ProtocolError
from ..wire import packets as p
from ..wire.codec import response
from ..wire.parser import Parser

if TYPE_CHECKING:
    from .server import Server

PAUSE_AT: Final = 1024 * 1024
"""Bytes waiting for a peer from which on nothing more is read from it, until it has read some."""

_log = structlog.get_logger("geartrain.server")


class Connection(asyncio.Protocol):
    """Feeds one peer's bytes to the broker and writes what the broker has for it.

    A peer that does not read is paused first (nothing more is taken from it) and dropped when what waits
    for it passes `max_outbox`.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._broker = server.broker
        self._parser = Parser(p.REQUEST, server.options.max_packet)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.peer: Peer = cast(Peer, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=PAUSE_AT)
        socket = transport.get_extra_info("socket")
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else "unix"
        self.peer = Peer(address, socket.fileno(), self)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        """Cut the bytes into packets and let the broker act on each."""
        try:
            packets = self._parser.feed(data)
        except ProtocolError as error:
            self._refuse(error)
            return
        receive = self._broker.receive
        peer = self.peer
        for type, body in packets:
            receive(peer, type, body)
        self._server.flush()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        self._server.closed(self)

    def pause_writing(self) -> None:
        """The peer reads more slowly than it is written to: take nothing more from it."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer has read most of it."""
        self._transport.resume_reading()

    def write_outbox(self) -> None:
        """Hand everything in the peer's outbox to the transport, in one write."""
        outbox = self.peer.outbox
        transport = self._transport
        if len(outbox) == 1:
            transport.write(outbox[0])
        else:
            transport.writelines(outbox) if len(outbox) < 8 else transport.write(b"".join(outbox))
        outbox.clear()
        if transport.get_write_buffer_size() > self._server.options.max_outbox:
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
        self._server.flush()
        self._transport.write(response(p.ERROR, code + b"\0" + str(error).encode()))
        _log.warning("connection refused", peer=self.peer.address, fd=self.peer.fd, reason=str(error))
        self._transport.close()

    def _drop(self, reason: str) -> None:
        _log.warning("connection dropped", peer=self.peer.address, fd=self.peer.fd, reason=reason)
        self._transport.abort()
