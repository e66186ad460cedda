"""What peers are told, in order, and what they are not told yet.

Gearman's clients match JOB_CREATED to their submissions by order. So while an acknowledgement waits for its
commit, everything that follows it on the same connection waits behind it.
"""

from __future__ import annotations

from typing import Final

from ..wire import packets as p
from ..wire.codec import response, response_head
from .results import COMPLETE, EXCEPTION, EXPIRED
from .state import Peer

LARGE: Final = 32 * 1024
"""Bytes from which on a body is written from where it is, not copied behind its header."""

MOST_HELD: Final = 1024 * 1024
"""Bytes that are held back for a peer from which on nothing more is read from it, nor from the workers that
have something for it."""


class Outboxes:
    """Fills the peers' outboxes and remembers in `touched` which of them have something to write."""

    def __init__(self) -> None:
        self.touched: list[Peer] = []
        # Clogged clients, each with a worker that has just sent it something all the same.
        self.held_up: list[tuple[Peer, Peer]] = []

    def take_touched(self) -> list[Peer]:
        """Hand out `touched`; whoever takes it writes and empties their outboxes."""
        touched = self.touched
        self.touched = []
        return touched

    def take_held_up(self) -> list[tuple[Peer, Peer]]:
        """Hand out `held_up`."""
        held_up = self.held_up
        self.held_up = []
        return held_up

    def send(self, peer: Peer, data: bytes) -> None:
        """Append to a peer's outbox, or to what is held back for it."""
        if peer.held is not None:
            peer.held.append(data)
            peer.held_bytes += len(data)
            return
        if not peer.outbox:
            self.touched.append(peer)
        peer.outbox.append(data)

    def send_body(self, peer: Peer, type: int, body: bytes) -> None:
        """Send a response whose body may be large."""
        if len(body) < LARGE:
            self.send(peer, response(type, body))
        else:
            self.send(peer, response_head(type, len(body)))
            self.send(peer, body)

    def pass_on(self, source: Peer, clients: list[Peer], type: int, body: bytes) -> None:
        """Tell clients, each as often as it is there, what a worker says; they share a body that is large.

        Those that can't take more now are noted in `held_up`.
        """
        is_large = len(body) >= LARGE
        head = response_head(type, len(body)) if is_large else b""
        data = body if is_large else response(type, body)
        for client in clients:
            if is_large:
                self.send(client, head)
            self.send(client, data)
            if client.is_clogged or client.held_bytes > MOST_HELD:
                self.held_up.append((client, source))

    def send_end(self, peer: Peer, kind: str, handle: bytes, data: bytes) -> None:
        """Tell one client how a job ended; a client that asked for no exceptions gets WORK_FAIL for one."""
        if kind == COMPLETE:
            type = p.WORK_COMPLETE
        elif kind in (EXCEPTION, EXPIRED) and peer.wants_exceptions:
            type = p.WORK_EXCEPTION
        else:
            self.send(peer, response(p.WORK_FAIL, handle))
            return
        if len(data) < LARGE:
            self.send(peer, response(type, b"%b\0%b" % (handle, data)))
        else:
            self.send(peer, response_head(type, len(handle) + 1 + len(data)) + handle + b"\0")
            self.send(peer, data)

    def hold(self, peer: Peer, serial: int, data: bytes) -> bool:
        """Append what must not be sent before the batch of that serial is committed.

        Returns whether the peer waits for that batch only from now on.
        """
        held = peer.held
        if held is None:
            held = peer.held = []
        opens = serial > peer.last_gate
        if opens:
            peer.last_gate = serial
            peer.gates.append((serial, len(held)))
        held.append(data)
        peer.held_bytes += len(data)
        return opens

    def release(self, peer: Peer, serial: int) -> None:
        """Batches up to that serial have ended: send what waited for them alone."""
        held = peer.held
        if held is None:
            return
        gates = peer.gates
        while gates and gates[0][0] <= serial:
            del gates[0]
        if not peer.outbox:
            self.touched.append(peer)
        if not gates:
            peer.outbox += held
            peer.held = None
            peer.held_bytes = 0
            return
        start = gates[0][1]
        peer.outbox += held[:start]
        peer.held = held[start:]
        peer.held_bytes = sum([len(data) for data in peer.held])
        peer.gates = [(waits_for, position - start) for waits_for, position in gates]
