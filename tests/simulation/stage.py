"""What every run stands on: a broker with its model, a journal that can be broken, clocks, and chance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final, TypeVar

from geartrain.broker import Broker
from geartrain.broker import Peer as BrokerPeer
from geartrain.broker.ledger import first_number
from geartrain.broker.limits import Rules
from geartrain.broker.records import Batch, Document, JobRecord
from geartrain.broker.results import Results
from geartrain.wire import packets as p

from . import invariants
from .model import Model
from .parts import Peer, packet

MOST_RESULTS: Final = 12
MOST_RESULT_BYTES: Final = 200

_NOOP: Final = packet(p.NOOP)
_REFUSAL: Final = "the disk is full"

_T = TypeVar("_T")


@dataclass(eq=False)
class Actor:
    """One connection, on both sides."""

    peer: BrokerPeer
    model: Peer


@dataclass
class Journal:
    """A journal that a test can break: what it holds is what the next server will find."""

    jobs: dict[int, JobRecord] = field(default_factory=dict)
    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def write(self, batch: Batch) -> None:
        for number in batch.ended:
            self.jobs.pop(number, None)
        self.jobs.update(batch.saved)
        for key, value in batch.documents.items():
            if value is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = value


class Stage:
    """A broker and its model. After each thing that happens, `_look` sees whether all still holds."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random
        self.steps = 0
        self.counts: dict[str, int] = {}
        self._now = 1000.0
        self._wall = 1_700_000_000.0
        self._last_number = 0  # of any acknowledged job
        self._journal = Journal()
        self._is_patient = self._random() < 0.7
        self._model = Model(b"H:sim:", MOST_RESULTS, MOST_RESULT_BYTES, self._is_patient)
        self._actors: list[Actor] = []
        self._batch: Batch | None = None
        self._start()

    # Looking

    def _look(self) -> None:
        """Take what the broker has for its peers and hold it against the model, after every step."""
        model = self._model
        for peer in self._broker.outboxes.take_touched():
            actor = peer.connection
            if actor is None:
                continue  # the administrator reads its own
            told = b"".join(peer.outbox)
            peer.outbox.clear()
            wakes = told.count(_NOOP)
            if wakes:
                told = told.replace(_NOOP, b"")
                invariants.only_sleepers_are_woken(actor.model, wakes)
                # A late one may be older than the last PRE_SLEEP, and then it says nothing.
                actor.model.sleeping = actor.model.is_late and peer.sleeping
                actor.model.woken_at = -1 if actor.model.sleeping else model.ticks
            invariants.events_reach_exactly_their_clients_in_order(actor.model, told)
            actor.model.is_late = actor.model.is_held
            model.touched.pop(actor.model, None)
        for silent in model.touched:
            invariants.events_reach_exactly_their_clients_in_order(silent, b"")
            silent.is_late = silent.is_held
        model.touched.clear()
        for function in model.functions.values():
            invariants.no_job_waits_while_a_capable_worker_sleeps(model, function)

    def _sweep(self) -> None:
        invariants.every_job_is_where_it_should_be(self._model, self._broker)
        invariants.wakes_are_in_balance(self._broker)
        invariants.a_job_runs_on_one_worker_at_a_time(self._broker)
        invariants.no_acknowledged_job_is_lost(self._model, self._broker)
        invariants.bounds_hold(self._model, self._broker)

    # The server

    def _start(self) -> None:
        documents = [Document(*key, value) for key, value in sorted(self._journal.documents.items())]
        number = first_number(documents, self._wall)
        if number <= self._last_number:
            raise invariants.Violation(f"handles from {number} on are given out again")
        rules = Rules(patient=self._is_patient)
        self._broker = Broker("sim", number, now=self._now, wall=self._wall, durable=True, rules=rules)
        self._broker.jobs.results = Results(MOST_RESULTS, MOST_RESULT_BYTES)
        for document in documents:
            self._broker.restore_document(document)
        for _, record in sorted(self._journal.jobs.items()):
            self._broker.restore(record)
        self._model.now = self._now
        self._model.wall = self._wall
        self._model.restart(number)
        self._admin = BrokerPeer()
        self._broker.connect(self._admin)

    def _crash(self) -> None:
        """The server is killed, perhaps after a commit that it did not live to hear of."""
        self._count("crashes")
        if self._batch is not None and self._random() < 0.5:
            self._land()
        self._actors.clear()
        self._batch = None
        self._start()
        self._sweep()

    def _take_or_land(self) -> None:
        if self._batch is None:
            if self._broker.commit_is_due:
                self._batch = self._broker.take_batch()
                self._model.take()
            return
        if self._random() < 0.15:
            self._count("refusals")
            self._batch = None
            self._broker.refused(_REFUSAL)
            self._model.refused(_REFUSAL.encode())
            return
        self._land()
        self._batch = None
        self._broker.committed()
        self._model.committed()

    def _land(self) -> None:
        assert self._batch is not None
        self._journal.write(self._batch)
        self._model.write()
        invariants.the_journal_holds_what_was_committed(self._model, self._journal.jobs)
        self._last_number = max((self._last_number, *self._batch.saved))

    # Time

    def _tick(self) -> None:
        passed = self._choice((0.1, 0.1, 0.1, 0.5, 3.0))
        self._now += passed
        self._wall += passed
        self._broker.tick(self._now, self._wall)
        self._model.tick(self._now, self._wall)

    def _expire(self) -> None:
        """A moment has passed for the grabs that wait, if any does."""
        if self._broker.grabs_wait:
            self._broker.time_grabs()
        self._broker.answer_grabs()
        self._model.expire()

    def _jump(self) -> None:
        """Somebody sets the clock, forwards or back."""
        self._count("clock jumps")
        self._wall += self._choice((-86_400.0, -3600.0, -5.0, 5.0, 3600.0))
        self._tick()

    def _commit(self) -> None:
        while self._batch is not None or self._broker.commit_is_due:
            self._take_or_land()
            self._look()

    # Chance

    def _below(self, bound: int) -> int:
        return int(self._random() * bound)

    def _choice(self, things: tuple[_T, ...] | list[_T]) -> _T:
        return things[int(self._random() * len(things))]

    def _any(self) -> Actor | None:
        return self._choice(self._actors) if self._actors else None

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
