"""One seeded run: random clients, workers, rules, clocks, commits and crashes, and the model beside them.

Everything that happens is drawn from one generator, so a seed and a number of steps replay a run exactly.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Final, TypeVar

from geartrain.broker import Broker
from geartrain.broker import Peer as BrokerPeer
from geartrain.broker.ledger import first_number
from geartrain.broker.records import Batch, Document, JobRecord
from geartrain.broker.results import Results
from geartrain.wire import packets as p

from . import invariants
from .model import Model
from .parts import Job, Peer, Rules, packet

FUNCTIONS: Final = (b"a", b"b", b"c", b"d", b"e")
UNIQUES: Final = (b"", b"", b"", b"", b"-", b"u1", b"u2", b"u3")
MOST_PEERS: Final = 12
MOST_JOBS: Final = 40
"""Jobs above which workers are busier than clients."""
MOST_RESULTS: Final = 12
MOST_RESULT_BYTES: Final = 200
SWEEP: Final = 100
"""Steps between two looks at everything."""
DRAIN: Final = 20_000
"""Steps between two drains, which end with nothing left in memory."""

_NOOP: Final = packet(p.NOOP)
_SUBMISSIONS: Final = (
    (p.SUBMIT_JOB, 1, False),
    (p.SUBMIT_JOB_BG, 1, True),
    (p.SUBMIT_JOB_HIGH, 0, False),
    (p.SUBMIT_JOB_HIGH_BG, 0, True),
    (p.SUBMIT_JOB_LOW, 2, False),
    (p.SUBMIT_JOB_LOW_BG, 2, True),
)
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


class World:
    """A broker, its model, and chance. `step` makes one thing happen and looks whether all still holds."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random
        self.steps = 0
        self.counts: dict[str, int] = {}
        self._now = 1000.0
        self._wall = 1_700_000_000.0
        self._last_number = 0  # of any acknowledged job
        self._journal = Journal()
        self._model = Model(b"H:sim:", MOST_RESULTS, MOST_RESULT_BYTES)
        self._actors: list[Actor] = []
        self._batch: Batch | None = None
        self._start()
        # No two runs have the same temper: in one workers are slow, in another commits or the clock.
        weights = {
            self._submit: 260,
            self._grab: 180,
            self._end: 110,
            self._sleep: 60,
            self._take_or_land: 100,
            self._tick: 50,
            self._can_do: 30,
            self._connect: 20,
            self._disconnect: 14,
            self._tell: 40,
            self._ask: 16,
            self._cant_do: 8,
            self._dead: 4,
            self._rule: 2,
            self._jump: 1,
        }
        self._table = [
            action
            for action, weight in weights.items()
            for _ in range(max(1, int(weight * self._choice((0.4, 0.7, 1.0, 1.0, 1.5, 2.5)))))
        ]

    def run(self, steps: int) -> None:
        """Go on for that many steps and drain at the end."""
        for _ in range(steps):
            self.step()
        self.drain()

    def step(self) -> None:
        """One random thing happens."""
        self.steps += 1
        if self._random() < 0.0002:
            self._crash()
        else:
            self._choice(self._table)()
        self._look()
        if self.steps % SWEEP == 0:
            self._sweep()
        if self.steps % DRAIN == 0:
            self.drain()

    # Looking

    def _look(self) -> None:
        """Take what the broker has for its peers and hold it against the model, after every step."""
        model = self._model
        for peer in self._broker.take_touched():
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
        self._broker = Broker("sim", number, now=self._now, wall=self._wall, durable=True)
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

    def _jump(self) -> None:
        """Somebody sets the clock, forwards or back."""
        self._count("clock jumps")
        self._wall += self._choice((-86_400.0, -3600.0, -5.0, 5.0, 3600.0))
        self._tick()

    # Peers

    def _connect(self) -> None:
        if len(self._actors) >= MOST_PEERS:
            return
        actor = Actor(BrokerPeer(), Peer())
        actor.peer.connection = actor
        self._actors.append(actor)
        self._broker.connect(actor.peer)
        if self._random() < 0.5:
            actor.model.wants_exceptions = True
            self._broker.receive(actor.peer, p.OPTION_REQ, b"exceptions")
            self._model.tell(actor.model, packet(p.OPTION_RES, b"exceptions"))
        self._look()
        for _ in range(self._below(4)):
            self._can_do(actor)

    def _disconnect(self, actor: Actor | None = None) -> None:
        actor = actor or self._any()
        if actor is None:
            return
        self._actors.remove(actor)
        self._broker.disconnect(actor.peer)
        self._model.disconnect(actor.model)

    def _can_do(self, actor: Actor | None = None) -> None:
        actor = actor or self._any()
        if actor is None:
            return
        name = self._choice(FUNCTIONS)
        if self._random() < 0.2:
            self._model.can_do(actor.model, name, 2.0)
            self._broker.receive(actor.peer, p.CAN_DO_TIMEOUT, name + b"\x002000")
        else:
            self._model.can_do(actor.model, name, 0.0)
            self._broker.receive(actor.peer, p.CAN_DO, name)

    def _cant_do(self) -> None:
        actor = self._any()
        if actor is None:
            return
        if self._random() < 0.2:
            for name in list(actor.model.abilities):
                self._model.cant_do(actor.model, name)
            self._broker.receive(actor.peer, p.RESET_ABILITIES, b"")
            return
        name = self._choice(FUNCTIONS)
        self._model.cant_do(actor.model, name)
        self._broker.receive(actor.peer, p.CANT_DO, name)

    # Clients

    def _submit(self) -> None:
        actor = self._any()
        if actor is None or (len(self._model.jobs) > MOST_JOBS and self._random() < 0.9):
            return
        name = self._choice(FUNCTIONS)
        unique = self._choice(UNIQUES)
        workload = b"w%d" % self._below(5 if unique == b"-" else 1000)
        if self._random() < 0.1:
            due = int(self._wall) + self._choice((-5, 0, 1, 2, 10, 100))
            body = b"\0".join((name, unique, b"%d" % due, workload))
            self._model.submit(actor.model, name, unique, workload, 1, True, float(due))
            self._broker.receive(actor.peer, p.SUBMIT_JOB_EPOCH, body)
            return
        type, priority, background = self._choice(_SUBMISSIONS)
        self._model.submit(actor.model, name, unique, workload, priority, background, 0.0)
        self._broker.receive(actor.peer, type, b"\0".join((name, unique, workload)))

    def _ask(self) -> None:
        """GET_STATUS or `geartrain.result` for a job that is there, that was, or that never was."""
        actor = self._any()
        if actor is None:
            return
        model = self._model
        known = self._choice((list(model.jobs), list(model.results), list(model.dead), [b"H:nobody:1"]))
        handle = self._choice(known) if known else b"H:nobody:1"
        if self._random() < 0.5:
            model.status(actor.model, handle)
            self._broker.receive(actor.peer, p.GET_STATUS, handle)
        else:
            model.ask_result(actor.model, handle)
            self._broker.receive(actor.peer, p.SUBMIT_JOB, b"geartrain.result\0\0" + handle)

    # Workers

    def _grab(self, actor: Actor | None = None) -> None:
        actor = actor or self._any()
        if actor is None:
            return
        with_unique = self._random() < 0.5
        self._model.grab(actor.model, with_unique)
        running = len(actor.model.running)
        self._broker.receive(actor.peer, p.GRAB_JOB_UNIQ if with_unique else p.GRAB_JOB, b"")
        if len(actor.model.running) == running and self._random() < 0.5:
            self._look()
            self._sleep(actor)

    def _sleep(self, actor: Actor | None = None) -> None:
        actor = actor or self._any()
        if actor is not None:
            actor.model.sleeping = True
            actor.model.woken_at = -1
            self._broker.receive(actor.peer, p.PRE_SLEEP, b"")

    def _end(self, actor: Actor | None = None) -> None:
        found = self._running(actor)
        if found is None:
            return
        actor, job = found
        fate = self._random()
        data = b"r" * self._below(40)
        if fate < 0.7:
            self._model.end(actor.model, job, "complete", data)
            self._broker.receive(actor.peer, p.WORK_COMPLETE, job.handle + b"\0" + data)
        elif fate < 0.85:
            self._model.end(actor.model, job, "fail", b"")
            self._broker.receive(actor.peer, p.WORK_FAIL, job.handle)
        else:
            self._model.end(actor.model, job, "exception", data)
            self._broker.receive(actor.peer, p.WORK_EXCEPTION, job.handle + b"\0" + data)

    def _tell(self) -> None:
        """WORK_DATA, WORK_WARNING, WORK_STATUS; sometimes for a job that this worker does not run."""
        found = self._running(None)
        if found is None or self._random() < 0.1:
            actor = self._any()
            if actor is not None:
                handle = self._choice(list(self._model.jobs) or [b"H:nobody:1"])
                if handle not in actor.model.running:
                    text = b"Job does not exist on server"
                    self._model.tell(actor.model, packet(p.ERROR, b"JOB_NOT_FOUND", text))
                    self._broker.receive(actor.peer, p.WORK_DATA, handle + b"\0data")
            return
        actor, job = found
        if self._random() < 0.3:
            numerator, denominator = b"%d" % self._below(9), b"%d" % self._below(9)
            self._model.progress(actor.model, job, numerator, denominator)
            self._broker.receive(actor.peer, p.WORK_STATUS, b"\0".join((job.handle, numerator, denominator)))
            return
        type = self._choice((p.WORK_DATA, p.WORK_WARNING))
        self._model.event(actor.model, type, job, b"data")
        self._broker.receive(actor.peer, type, job.handle + b"\0data")

    # Administrators

    def _rule(self, rules: Rules | None = None, name: bytes = b"") -> None:
        """Give a function other rules."""
        name = name or self._choice(FUNCTIONS)
        rules = rules or Rules(
            max_attempts=self._choice((0, 1, 2, 4)),
            retry=self._choice(((), ("fail",), ("exception",), ("fail", "exception"))),
            backoff=self._choice(("none", "fixed", "linear", "exponential")),
            first_delay=self._choice((0.5, 2.0)),
            max_delay=self._choice((0.0, 5.0)),
            timeout=self._choice((0.0, 0.0, 3.0)),
            max_queue=self._choice((0, 0, 5)),
            concurrency=self._choice((0, 0, 1, 3)),
            rate=self._choice((0.0, 0.0, 0.5, 5.0)),
            keep_results=self._choice((0.0, 2.0, 60.0)),
        )
        self._model.set_rules(name, rules)
        self._administer("function.set", {"function": name.decode(), **rules.settings()})

    def _dead(self) -> None:
        """Requeue or drop a dead job."""
        if not self._model.dead:
            return
        handle = self._choice(list(self._model.dead))
        if self._random() < 0.5:
            self._model.requeue(handle)
            self._administer("dead.requeue", {"handle": handle.decode()})
        else:
            self._model.drop(handle)
            self._administer("dead.drop", {"handle": handle.decode()})

    def _administer(self, function: str, workload: object) -> None:
        body = f"geartrain.{function}\0\0{json.dumps(workload)}".encode()
        self._broker.receive(self._admin, p.SUBMIT_JOB, body)
        if any(answer[7] == p.WORK_EXCEPTION for answer in self._admin.outbox):
            raise invariants.Violation(f"refused: {body!r}")
        self._admin.outbox.clear()

    # Draining

    def drain(self) -> None:
        """Lift every rule, let everything end and everybody go; nothing may be left."""
        self._count("drains")
        for name in FUNCTIONS:
            self._rule(Rules(), name)
            self._look()
        self._commit()
        for handle in list(self._model.dead):
            self._model.requeue(handle)
            self._administer("dead.requeue", {"handle": handle.decode()})
        self._wall = max(self._wall, *(job.due for job in self._model.jobs.values()), 0.0)
        for _ in range(40):
            self._now += 3.0
            self._wall += 3.0
            self._broker.tick(self._now, self._wall)
            self._model.tick(self._now, self._wall)
            self._look()
        worker = Actor(BrokerPeer(), Peer())
        worker.peer.connection = worker
        self._actors.append(worker)
        self._broker.connect(worker.peer)
        for name in FUNCTIONS:
            self._model.can_do(worker.model, name, 0.0)
            self._broker.receive(worker.peer, p.CAN_DO, name)
        for actor in self._actors:
            while actor.model.running:
                self._end(actor)
                self._look()
        while self._model.jobs:
            self._grab(worker)
            self._look()
            self._end(worker)
            self._look()
        for actor in list(self._actors):
            self._disconnect(actor)
            self._look()
        self._commit()
        self._broker.disconnect(self._admin)
        invariants.drained(self._broker)
        if self._journal.jobs or self._model.promised:
            raise invariants.Violation(f"left in the journal: {self._journal.jobs}")
        self._admin = BrokerPeer()
        self._broker.connect(self._admin)

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

    def _running(self, actor: Actor | None) -> tuple[Actor, Job] | None:
        """A connection that runs a job, and the job."""
        busy = [actor] if actor else [one for one in self._actors if one.model.running]
        if not busy or not busy[0].model.running:
            return None
        chosen = self._choice(busy)
        return chosen, self._choice(list(chosen.model.running.values()))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
