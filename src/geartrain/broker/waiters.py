"""Who asked how a job ends, and is told when it does: clients of `geartrain.result`."""

from __future__ import annotations

from .limits import MAX_SUBMITTERS
from .outbox import Outboxes
from .state import Job, Peer


class Waiters:
    """For each job that somebody asked about, the peers and the handles under which they asked."""

    def __init__(self, outboxes: Outboxes) -> None:
        self._outboxes = outboxes
        self._by_job: dict[bytes, list[tuple[Peer, bytes]]] = {}
        self._by_peer: dict[Peer, set[bytes]] = {}
        self.count = 0
        """How many wait: nearly always nobody, which is seen at the end of each job."""

    def __len__(self) -> int:
        return self.count

    def add(self, job: Job, peer: Peer, handle: bytes) -> None:
        """When the job has ended, end the job `handle` in the same way for that peer alone.

        Raises:
            ValueError: too many wait already.
        """
        if self.count >= MAX_SUBMITTERS:
            raise ValueError("too many wait for results already")
        self.count += 1
        peer.waits_for_results += 1
        self._by_job.setdefault(job.handle, []).append((peer, handle))
        self._by_peer.setdefault(peer, set()).add(job.handle)

    def asked_by(self, peer: Peer) -> list[bytes]:
        """The handles of the jobs that a peer asked about."""
        return list(self._by_peer.get(peer, ()))

    def leave(self, peer: Peer) -> None:
        """A peer is gone; nobody waits on its behalf any more."""
        for handle in self._by_peer.pop(peer, ()):
            waiters = self._by_job.pop(handle)
            left = [waiter for waiter in waiters if waiter[0] is not peer]
            self.count -= len(waiters) - len(left)
            if left:
                self._by_job[handle] = left

    def withdraw(self, peer: Peer, handle: bytes) -> None:
        """A peer waits no more by its job of that handle; nothing happens if it does not."""
        for asked in list(self._by_peer.get(peer, ())):
            waiters = self._by_job[asked]
            left = [waiter for waiter in waiters if waiter != (peer, handle)]
            if len(left) == len(waiters):
                continue
            self.count -= 1
            peer.waits_for_results -= 1
            if left:
                self._by_job[asked] = left
            else:
                del self._by_job[asked]
            if not any(waiter[0] is peer for waiter in left):
                self._by_peer[peer].discard(asked)
                if not self._by_peer[peer]:
                    del self._by_peer[peer]
            return

    def tell(self, job: Job, kind: str, data: bytes) -> None:
        """A job has ended."""
        for peer, handle in self._by_job.pop(job.handle, ()):
            self.count -= 1
            peer.waits_for_results -= 1
            self._outboxes.send_end(peer, kind, handle, data)
            asked = self._by_peer.get(peer)
            if asked is not None:
                asked.discard(job.handle)
                if not asked:
                    del self._by_peer[peer]
