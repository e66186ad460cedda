"""Who is woken for what, and which function a grabbing worker is served from.

The invariant: no job waits unmatched while a worker that can do it sleeps. A wake in flight (a NOOP that was
not answered by a grab yet) matches one waiting job; a worker that was woken and does not grab within its
grace passes its wake on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..wire import packets as p
from ..wire.codec import response
from .outbox import Outboxes
from .patience import Patience
from .state import HIGH, LOW, NORMAL, Ability, Function, Job, Peer

_NOOP: Final = response(p.NOOP)
_ALL: Final = 1_000_000
"""More sleeping workers than there are."""


class _Ready:
    """The functions with a job of one priority waiting."""

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.functions: dict[bytes, Function] = {}
        # How often a function came in. See `Peer.without`.
        self.arrivals = 0


class Dispatch:
    """The waiting jobs and the sleeping workers of one broker, in balance.

    Args:
        round_robin, worker_wakeup, patient: as in `Rules`.
    """

    def __init__(
        self,
        outboxes: Outboxes,
        *,
        round_robin: bool = False,
        worker_wakeup: int = 1,
        patient: bool = False,
    ) -> None:
        self._outboxes = outboxes
        # Answers a peer's grab of some type with the next job of a function.
        self.give: Callable[[Peer, Function, int], None] = _nothing
        self.patience = Patience(outboxes, patient)
        self._round_robin = round_robin
        # Wakes that a waiting job is worth.
        self._wakeup = worker_wakeup or _ALL
        # The rank of the next announcement, and under `round_robin` of the next function that was served.
        self._next_rank = 1
        self._last_rank = 0
        # For each priority the functions with a job of it waiting. A grab looks through these or through the
        # worker's abilities, whichever are fewer, so its cost does not grow with both.
        self._ready: list[_Ready] = [_Ready(HIGH), _Ready(NORMAL), _Ready(LOW)]
        # Entries of the three, so that an idle worker's grab need not look at each.
        self._ready_count = 0
        # Peers with a wake in flight, and some whose wake was settled since.
        self._woken: dict[Peer, None] = {}
        self._tick = 0
        # Nothing is handed out, since the server is about to end.
        self.paused = False

    # Jobs

    def queue(self, job: Job, at_head: bool) -> None:
        """A job waits for a worker from now on; wake one for it."""
        function = job.function
        if function.prepend(job) if at_head else function.append(job):
            ready = self._ready[job.priority]
            ready.functions[function.name] = function
            ready.arrivals += 1
            self._ready_count += 1
        if self.patience.peers:
            self._answer_grabs(function)
        # Nobody is to be looked for where nobody sleeps, as on a busy server.
        if (
            function.sleepers.last is not None
            and not self.paused
            and function.demand() * self._wakeup > function.woken
        ):
            if self._wakeup == 1:
                self._wake(function)
            else:
                self.rebalance(function)

    def pop(self, function: Function) -> Job:
        """Take out the job of a function whose turn it is; there must be one."""
        job = function.next()
        if function.remove(job):
            del self._ready[job.priority].functions[function.name]
            self._ready_count -= 1
        return job

    def remove(self, job: Job) -> None:
        """A queued job does not wait any more."""
        function = job.function
        if function.remove(job):
            del self._ready[job.priority].functions[function.name]
            self._ready_count -= 1

    def choose(self, peer: Peer) -> Function | None:
        """Return the function that serves a peer's grab: the one with the job of the highest priority.

        Of several the newest ability counts; under `round_robin` the one that was served longest ago.
        """
        if not self._ready_count or self.paused:
            return None
        function = self._best(peer, False)
        if self._round_robin and function is not None:
            self._serve_last(peer, function)
        return function

    def _serve_last(self, peer: Peer, function: Function) -> None:
        peer.abilities[function.name].rank = self._last_rank
        self._last_rank -= 1

    def _answer_grabs(self, function: Function) -> None:
        """Hand the jobs of a function that may start to the grabs that wait for one."""
        while function.demand() > 0 and not self.paused:
            peer = self.patience.first(function)
            if peer is None:
                return
            if self._round_robin:
                self._serve_last(peer, function)
            type = peer.grab
            self.patience.leave(peer)
            self.give(peer, function, type)

    def _best(self, peer: Peer, unmatched: bool) -> Function | None:
        """Return the function with the best waiting job that a peer may start.

        With `unmatched` a function counts only if it has a waiting job without a wake in flight.
        """
        abilities = peer.abilities
        if not abilities:
            return None
        for ready in self._ready:
            if not ready.functions:
                continue
            without = peer.without
            if without is not None and without[ready.priority] == ready.arrivals:
                continue
            function = (
                self._newest_ability(peer, ready, unmatched)
                if len(abilities) < len(ready.functions)
                else self._newest_ready(peer, ready, unmatched)
            )
            if function is not None:
                return function
        return None

    def _newest_ability(self, peer: Peer, ready: _Ready, unmatched: bool) -> Function | None:
        best: Ability | None = None
        is_without = True
        priority = ready.priority
        for ability in reversed(peer.abilities.values()):
            function = ability.function
            if function.queues[priority].first is None:
                continue
            is_without = False
            if (best is None or ability.rank > best.rank) and function.demand() * self._wakeup > (
                function.woken if unmatched else 0
            ):
                if not self._round_robin:
                    # The dict has the oldest announcement first.
                    return function
                best = ability
        if is_without:
            _note_without(peer, ready)
        return None if best is None else best.function

    def _newest_ready(self, peer: Peer, ready: _Ready, unmatched: bool) -> Function | None:
        best: Ability | None = None
        is_without = True
        abilities = peer.abilities
        for name, function in ready.functions.items():
            candidate = abilities.get(name)
            if candidate is None:
                continue
            is_without = False
            if (best is None or candidate.rank > best.rank) and function.demand() * self._wakeup > (
                function.woken if unmatched else 0
            ):
                best = candidate
        if is_without:
            _note_without(peer, ready)
        return None if best is None else best.function

    # Workers

    def sleep(self, peer: Peer) -> None:
        """A worker sent PRE_SLEEP: it sleeps, or is woken at once for a job that nobody was woken for."""
        woken_for = self.settle(peer)
        function = self._best(peer, True) if self._ready_count and not self.paused else None
        if function is not None:
            self._wake_peer(peer, function)
            if woken_for is not None:
                # It was woken for one thing, did not grab, and is woken for another now.
                self.rebalance(woken_for)
            return
        peer.sleeping = True
        if peer.unlisted:
            for ability in peer.unlisted:
                ability.listed = True
                ability.function.sleepers.append(ability)
            peer.unlisted.clear()

    def settle(self, peer: Peer) -> Function | None:
        """The peer acts, or will not: its wake is not in flight any more. Returns what it was woken for."""
        function = peer.woken_for
        if function is not None:
            peer.woken_for = None
            function.woken -= 1
        return function

    def rebalance(self, function: Function) -> None:
        """Wake workers while a job of the function may run that nobody was woken for and one sleeps."""
        if self.patience.peers:
            self._answer_grabs(function)
        while function.demand() * self._wakeup > function.woken and not self.paused:
            if not self._wake(function):
                return

    def tick(self) -> None:
        """Pass on the wakes of peers that let a whole tick go by without a grab."""
        self._tick += 1
        if not self._woken:
            return
        woken = self._woken
        self._woken = {}
        for peer in woken:
            if peer.woken_for is None:
                continue
            if peer.woken_at >= self._tick - 1:
                self._woken[peer] = None
                continue
            function = self.settle(peer)
            if function is not None:
                self.rebalance(function)

    def _wake(self, function: Function) -> bool:
        """Wake the worker that fell asleep last; false if none sleeps."""
        while True:
            link = function.sleepers.pop_last()
            if link is None:
                return False
            assert isinstance(link, Ability)
            link.listed = False
            peer = link.peer
            peer.unlisted[link] = None
            if peer.sleeping:
                self._wake_peer(peer, function)
                return True

    def _wake_peer(self, peer: Peer, function: Function) -> None:
        peer.sleeping = False
        peer.woken_for = function
        peer.woken_at = self._tick
        function.woken += 1
        self._woken[peer] = None
        self._outboxes.send(peer, _NOOP)

    # Abilities

    def announce(self, peer: Peer, function: Function, timeout: float) -> None:
        """A peer can do a function. Announced again it counts as new."""
        if peer.abilities:
            self.withdraw(peer, function.name)
        peer.without = None
        ability = Ability(peer, function, self._next_rank, timeout)
        self._next_rank += 1
        peer.abilities[function.name] = ability
        function.workers += 1
        if peer.sleeping:
            ability.listed = True
            function.sleepers.append(ability)
            self.rebalance(function)
        else:
            peer.unlisted[ability] = None

    def withdraw(self, peer: Peer, name: bytes) -> None:
        """A peer can't do a function any more; nothing happens if it could not."""
        ability = peer.abilities.pop(name, None)
        if ability is None:
            return
        function = ability.function
        function.workers -= 1
        if ability.listed:
            function.sleepers.remove(ability)
        else:
            peer.unlisted.pop(ability, None)
        if peer.woken_for is function:
            self.settle(peer)
            self.rebalance(function)

    def withdraw_all(self, peer: Peer) -> None:
        """A peer can't do anything any more."""
        for ability in peer.abilities.values():
            ability.function.workers -= 1
            if ability.listed:
                ability.function.sleepers.remove(ability)
        peer.abilities = {}
        peer.unlisted.clear()
        function = self.settle(peer)
        if function is not None:
            self.rebalance(function)


def _note_without(peer: Peer, ready: _Ready) -> None:
    """Note that no ability of a peer is among these functions."""
    if peer.without is None:
        peer.without = [-1, -1, -1]
    peer.without[ready.priority] = ready.arrivals


def _nothing(peer: Peer, function: Function, type: int) -> None:
    raise RuntimeError("nobody hands out jobs")
