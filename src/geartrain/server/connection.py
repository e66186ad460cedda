"""One accepted connection: bytes from the socket to the broker, and the peer's outbox to the socket."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Final

from ..broker.outbox import MOST_HELD
from ..broker.state import Peer
from ..errors import PacketTooLargeError, ProtocolError
from ..sockets import acknowledge
from ..wire import packets as p
from ..wire.codec import response
from ..wire.parser import Parser

if TYPE_CHECKING:
    from .server import Server

PAUSE_AT: Final = 1024 * 1024
"""Bytes waiting for a peer from which on nothing more is read from it, until it has read most of them."""
PROGRESS: Final = 64 * 1024
"""Bytes that a slow peer has to read within its time-out while it holds others up."""

FEW: Final = 8
"""Parts of an outbox from which on they are copied into one, however large they are."""
LARGE: Final = 64 * 1024
"""Bytes of fewer parts from which on they are not."""
LONG: Final = 8 * 1024
"""Bytes of a chunk that may fill its sender's socket buffer, so that it waits for the acknowledgement."""
UNLIMITED: Final = 1 << 60
"""More bytes than there are."""

# Looked up once: it is called for every job.
_os_write: Final = os.write


class Connection:
    """Feeds one peer's bytes to the broker and writes what the broker has for it.

    An `asyncio.Protocol` in all but name: this file is part of the hot path, and a compiled class has no
    interpreted base.

    A peer that does not read is *clogged*: nothing more is read from it, nor from the workers that send it
    data. It is dropped when what waits for it passes its limit, or when it holds up a worker for too long.
    """

    peer: Peer
    _transport: asyncio.Transport

    def __init__(self, server: Server, address: str) -> None:
        limits = server.options.limits
        self._server = server
        self._address = address
        self._broker = server.broker
        self._writer = server.writer
        self._parser = Parser(p.REQUEST, limits.packet or UNLIMITED)
        self._max_outbox = limits.outbox or UNLIMITED
        # The server's time when something came from it last.
        self.heard_at = server.broker.jobs.now
        # Bytes of the packet that has not arrived completely, as the server counts them.
        self._unfinished = 0
        # Reasons why nothing is read from it now.
        self._pauses = 0
        self._waits_for_journal = False
        # While it is clogged: the workers that it holds up, and by what it is judged to read or not:
        # since when, how much waited for it then, and what was written since.
        self._held_up: list[Connection] = []
        self._judged_at = 0.0
        self._waited = 0
        self._written = 0
        # The socket; -1 where only the transport can write to it, since what it writes is encrypted. And
        # whether there may be something left that the transport has to write before.
        self._fd = -1
        self._is_behind = False
        # The TCP socket, for acknowledgements; None for a Unix socket and once the connection is lost.
        self._tcp: socket.socket | None = None
        # What will be written before the outbox, with the next thing that can't wait or in a moment.
        self._gathered: list[bytes] = []
        # It is closed once everything up to the error that it was told of has gone out; nothing more is
        # written to it; it was cut off.
        self._is_refused = False
        self._is_closing = False
        self._is_dropped = False
        # Whether it is amid a long answer, and whether that waits for the peer to read.
        self._lists = False
        self._listing_waits = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The connection is up."""
        self._transport = transport
        transport.set_write_buffer_limits(high=PAUSE_AT)
        accepted: socket.socket = transport.get_extra_info("socket")
        fd: int = accepted.fileno()
        if accepted.family != socket.AF_UNIX:
            self._tcp = accepted
        if transport.get_extra_info("ssl_object") is None:
            self._fd = fd
        self.peer = Peer(self._address, fd, self)
        self._server.opened(self, transport)

    def data_received(self, data: bytes) -> None:
        """Cut the bytes into packets and let the broker act on each."""
        self.heard_at = self._broker.jobs.now
        broker = self._broker
        parser = self._parser
        writer = self._writer
        try:
            packets = parser.feed(data)
        except ProtocolError as error:
            self._refuse(error)
            return
        peer = self.peer
        if self._gathered:
            # What it is answered now comes behind it.
            self.write_outbox()
        if writer.trace is not None:
            writer.trace.received(peer, packets)
        for type, body in packets:
            broker.receive(peer, type, body)
        if self._unfinished or not parser.idle:
            self._count_unfinished(parser.unfinished)
        if (
            not peer.outbox
            and self._tcp is not None
            and peer.held is None
            and (not parser.idle or len(data) >= LONG or _may_go_on(packets))
        ):
            # Neither an answer nor a commit will carry the acknowledgement, and the sender may wait for it:
            # with Nagle's algorithm its next small write, with a full buffer the rest of a large one.
            acknowledge(self._tcp)
        if peer.held_bytes > MOST_HELD and not self._waits_for_journal:
            self._waits_for_journal = True
            self.pause()
        if broker.needs_attention:
            self._server.attend()
        elif len(packets) == 1 and packets[0][0] == p.OPTION_REQ:
            writer.write_after_option()
        else:
            writer.write_after(peer)

    def eof_received(self) -> None:
        """The peer sends nothing more; asyncio closes the connection."""

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        self._is_closing = self._is_dropped = True
        self._fd = -1
        self._tcp = None
        self._count_unfinished(0)
        self.peer.listings = []
        self._unclog()
        self._let_all_go()
        if self._pauses:
            for other in self._server.clogged:
                other.let_go(self)
        self._server.closed(self, error)
        # Nothing is left in a cycle: the server does without the cyclic collector.
        self.peer.connection = None

    # Packets that have not arrived completely

    @property
    def is_amid_packet(self) -> bool:
        """Whether a packet has begun and not ended."""
        return not self._parser.idle

    def _count_unfinished(self, size: int) -> None:
        change = size - self._unfinished
        self._unfinished = size
        if change and not self._server.has_room_for_unfinished(change):
            self.drop("the packets that have not arrived completely take too much memory")

    # A peer that reads slowly

    @property
    def waiting(self) -> int:
        """Bytes that wait for the peer to read them."""
        return self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """The peer reads more slowly than it is written to: take nothing more from it."""
        self.peer.is_clogged = True
        self._server.clogged.add(self)
        self._judge_from_now()
        self.pause()

    def resume_writing(self) -> None:
        """The peer has read most of it."""
        self._unclog()
        self.resume()
        if self._listing_waits:
            self._listing_waits = False
            self._go_on_listing()

    def hold_up(self, producer: Connection) -> None:
        """Read nothing more from a worker that sends this peer data, until it has read most of it.

        Nor while what it is sent is held back for a commit.
        """
        if not (self.peer.is_clogged or self.peer.held_bytes > MOST_HELD):
            return
        if producer is not self and producer not in self._held_up:
            if not self._held_up:
                self._judge_from_now()
            self._held_up.append(producer)
            producer.pause()

    def let_go(self, producer: Connection) -> None:
        """A connection that is gone is held up by nobody."""
        if producer in self._held_up:
            self._held_up.remove(producer)

    def judge(self, now: float, timeout: float) -> None:
        """Drop a peer that held others up and read nothing to speak of for too long."""
        if not ((self._held_up or self._lists) and now - self._judged_at >= timeout):
            return
        if self._waited + self._written - self.waiting < PROGRESS:
            what = "holds up a worker" if self._held_up else "asked for a long list"
            self.drop(f"it does not read what it is sent and {what}")
        else:
            self._judge_from_now()

    def _judge_from_now(self) -> None:
        self._judged_at = self._broker.jobs.now
        self._waited = self.waiting
        self._written = 0

    def _unclog(self) -> None:
        if self.peer.is_clogged:
            self.peer.is_clogged = False
            self._server.clogged.discard(self)
            self._let_all_go()

    def _let_all_go(self) -> None:
        held_up = self._held_up
        self._held_up = []
        for producer in held_up:
            producer.resume()

    def pause(self) -> None:
        """Read nothing from this peer until `resume` was called as often."""
        self._pauses += 1
        if self._pauses == 1 and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """One reason to read nothing from this peer is gone."""
        self._pauses -= 1
        if not self._pauses and not self._transport.is_closing():
            self.heard_at = self._broker.jobs.now
            self._transport.resume_reading()

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read from it now, so that it can't be blamed for saying nothing."""
        return self._pauses > 0

    # Writing and closing

    @property
    def has_news(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.peer.outbox or self._gathered)

    def gather(self) -> bool:
        """Keep what is in the peer's outbox for later; returns whether it is the first that is kept."""
        peer = self.peer
        if peer.listings:
            return False  # It waits for the end of a long answer already.
        is_first = not self._gathered
        self._gathered += peer.outbox
        peer.outbox.clear()
        return is_first

    def write_outbox(self) -> None:
        """Write everything that was gathered and is in the peer's outbox, at once."""
        peer = self.peer
        outbox = peer.outbox
        if self._gathered:
            outbox[:0] = self._gathered
            self._gathered.clear()
        transport = self._transport
        if self._is_closing:
            outbox.clear()
            return
        if peer.listings:
            self._begin_listing()
            return
        if self._writer.trace is not None:
            self._writer.trace.sent(peer, outbox)
        count = len(outbox)
        if count == 1:
            size = len(outbox[0])
            self._write(outbox[0])
        else:
            size = sum(len(data) for data in outbox)
            if count >= FEW and size > self._max_outbox:
                self.drop("more waits for it than may")
                return
            if count < FEW and size >= LARGE:
                self._is_behind = True
                transport.writelines(outbox)
            else:
                self._write(b"".join(outbox))
        if peer.is_clogged:
            self._written += size
            if transport.get_write_buffer_size() > self._max_outbox:
                self.drop("it does not read what it is sent")
        if (self._waits_for_journal or self._held_up) and peer.held_bytes <= MOST_HELD:
            if self._waits_for_journal:
                self._waits_for_journal = False
                self.resume()
            if self._held_up and not peer.is_clogged:
                self._let_all_go()
        peer.asked_for = 0
        outbox.clear()
        if self._is_refused and peer.held is None:
            self.close()

    def _write(self, data: bytes) -> None:
        """Write to the socket itself; what it does not take is left to the transport.

        It is the same system call, without all that the transport does around it. What is wrong with the
        socket, if it is, the transport finds out.
        """
        transport = self._transport
        if self._is_behind and not transport.get_write_buffer_size():
            self._is_behind = False
        if self._fd < 0 or self._is_behind:
            transport.write(data)
            return
        try:
            written = _os_write(self._fd, data)
        except OSError:
            written = 0
        if written < len(data):
            self._is_behind = True
            transport.write(memoryview(data)[written:])

    def _begin_listing(self) -> None:
        """Write what goes before a long answer, and the rest of it part by part; all else waits behind it."""
        if not self._lists:
            self._lists = True
            self.pause()
            self._write_up_to_listing()
            asyncio.get_running_loop().call_soon(self._go_on_listing)

    def _write_up_to_listing(self) -> None:
        peer = self.peer
        at = peer.listings[0][0]
        before = peer.outbox[:at]
        del peer.outbox[:at]
        peer.listings = [(position - at, parts) for position, parts in peer.listings]
        if self._writer.trace is not None:
            self._writer.trace.sent(peer, before)
        if before:
            self._write(b"".join(before))

    def _go_on_listing(self) -> None:
        """Write the next part, once the peer has read most of those before."""
        peer = self.peer
        if not peer.listings or self._transport.is_closing():
            return
        if peer.is_clogged:
            self._listing_waits = True
            return
        part = next(peer.listings[0][1], None)
        if part is not None:
            self._write(part)
        else:
            del peer.listings[0]
            if not peer.listings:
                self._lists = False
                if peer.outbox:
                    self.write_outbox()
                self.resume()
                return
            self._write_up_to_listing()
        asyncio.get_running_loop().call_soon(self._go_on_listing)

    def close(self) -> None:
        """Close when what there is for it has gone out."""
        if self.has_news:
            self.write_outbox()
        self._is_closing = True
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def drop(self, reason: str) -> None:
        """Close at once, and say who it was and why."""
        # Also amid its closing: that waits until the peer has read what it was sent.
        if not self._is_dropped:
            self._is_closing = self._is_dropped = True
            self.peer.outbox.clear()
            self._gathered.clear()
            self._server.complain("connection dropped", self.peer, reason)
            self._transport.abort()

    def _refuse(self, error: ProtocolError) -> None:
        """Answer what was complete before the offending bytes, name the fault, and close."""
        for type, body in error.packets:
            self._broker.receive(self.peer, type, body)
        code = b"ARGUMENT_TOO_LARGE" if isinstance(error, PacketTooLargeError) else b"INVALID_PACKET"
        if not self._transport.is_closing():
            self._is_refused = True
            self.pause()
            self._broker.tell(self.peer, response(p.ERROR, code + b"\0" + str(error).encode()))
            self._server.complain("connection refused", self.peer, str(error))
        self._server.attend()


def _may_go_on(packets: list[tuple[int, bytes]]) -> bool:
    """Return whether the sender of these packets, which got no answer, may have the next one to send."""
    if not packets:
        return False
    type = packets[-1][0]
    # Behind other packets PRE_SLEEP ends what a worker has to say.
    return type in p.UNANSWERED and (type != p.PRE_SLEEP or len(packets) == 1)
