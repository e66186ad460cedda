"""Grabs that found nothing and are not answered yet.

A worker that has just done a job and grabs the next one too early by a moment would be answered NO_JOB, say
PRE_SLEEP, be woken and grab again: three more packets each way for one job. So its grab waits, and a job that
is queued meanwhile answers it. Only a grab that follows a job is worth that: one that follows another grab in
vain comes from a worker that is about to sleep, or that asks several servers in turn and must not be kept.
"""

from __future__ import annotations

from typing import Final

from ..wire import packets as p
from ..wire.codec import response
from .outbox import Outboxes
from .state import Function, Peer

NO_JOB: Final = response(p.NO_JOB)

MOST_GRABS: Final = 64
"""Grabs that wait at once at most, so that looking for one that can do a job has an end."""


class Patience:
    """The grabs that wait. Whoever drives the broker calls `expire` at an interval while there are any.

    Without `is_on` none ever waits.
    """

    def __init__(self, outboxes: Outboxes, is_on: bool) -> None:
        self._outboxes = outboxes
        self._is_on = is_on
        # The peers, longest waiting first, each with the interval in which its grab came.
        self.peers: dict[Peer, int] = {}
        self._interval = 0
        # Whether whoever drives the broker knows that some wait.
        self._is_timed = False

    @property
    def wants_timing(self) -> bool:
        """Whether a grab waits and nobody calls `expire` at an interval."""
        return bool(self.peers) and not self._is_timed

    def start_timing(self) -> None:
        """From now on `expire` is called until it returns false."""
        self._is_timed = True

    def wait(self, peer: Peer, type: int) -> None:
        """A grab of that type found nothing: have it wait if it is worth that, or answer NO_JOB."""
        if self._is_on and peer.had_job and len(self.peers) < MOST_GRABS:
            peer.grab = type
            self.peers[peer] = self._interval
        else:
            peer.had_job = False
            self._outboxes.send(peer, NO_JOB)

    def first(self, function: Function) -> Peer | None:
        """The peer that can do the function and has waited longest."""
        name = function.name
        for peer in self.peers:
            if name in peer.abilities:
                return peer
        return None

    def leave(self, peer: Peer) -> None:
        """The peer's grab, if it waits, does not any more, and is answered by somebody else or not at all."""
        if peer.grab:
            peer.grab = 0
            del self.peers[peer]

    def end(self, peer: Peer) -> None:
        """Answer a peer's grab NO_JOB."""
        self.leave(peer)
        peer.had_job = False
        self._outboxes.send(peer, NO_JOB)

    def expire(self) -> bool:
        """Answer NO_JOB to the grabs that have waited for a whole interval; true while others wait."""
        for peer in [peer for peer, interval in self.peers.items() if interval < self._interval]:
            self.end(peer)
        self._interval += 1
        self._is_timed = bool(self.peers)
        return self._is_timed
