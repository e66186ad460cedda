"""One seeded run: random clients, workers, rules, clocks, commits and crashes, and the model beside them.

Everything that happens is drawn from one generator, so a seed and a number of steps replay a run exactly.
"""

from __future__ import annotations

import json
from typing import Final

from geartrain.broker import Peer as BrokerPeer
from geartrain.wire import packets as p

from . import invariants
from .parts import Job, Peer, Rules, packet
from .stage import Actor, Stage

FUNCTIONS: Final = (b"a", b"b", b"c", b"d", b"e")
UNIQUES: Final = (b"", b"", b"", b"", b"-", b"u1", b"u2", b"u3")
MOST_PEERS: Final = 12
MOST_JOBS: Final = (4, 40)
"""Jobs above which workers are busier than clients: there are runs with idle workers and with long queues."""
SWEEP: Final = 100
"""Steps between two looks at everything."""
DRAIN: Final = 20_000
"""Steps between two drains, which end with nothing left in memory."""

_SUBMISSIONS: Final = (
    (p.SUBMIT_JOB, 1, False),
    (p.SUBMIT_JOB_BG, 1, True),
    (p.SUBMIT_JOB_HIGH, 0, False),
    (p.SUBMIT_JOB_HIGH_BG, 0, True),
    (p.SUBMIT_JOB_LOW, 2, False),
    (p.SUBMIT_JOB_LOW_BG, 2, True),
)


class World(Stage):
    """A broker, its model, and chance. `step` makes one thing happen and looks whether all still holds."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        # No two runs have the same temper: in one workers are slow, in another commits or the clock.
        weights = {
            self._submit: 260,
            self._withdraw: 10,
            self._grab: 180,
            self._end: 110,
            self._sleep: 60,
            self._take_or_land: 100,
            self._tick: 50,
            self._expire: 50,
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
        self._most_jobs = self._choice(MOST_JOBS)
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
        self._model.stir(actor.model)
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
        self._model.stir(actor.model)
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
        if actor is None or (len(self._model.jobs) > self._most_jobs and self._random() < 0.9):
            return
        self._model.stir(actor.model)
        name = self._choice(FUNCTIONS)
        unique = self._choice(UNIQUES)
        workload = b"w%d" % self._below(5 if unique == b"-" else 1000)
        if self._random() < 0.1:
            actor.model.expires = self._choice((1.0, 5.0, 60.0))
            self._model.tell(actor.model, packet(p.OPTION_RES, b"expires"))
            self._broker.receive(actor.peer, p.OPTION_REQ, b"expires=%.3f" % actor.model.expires)
        if self._random() < 0.1:
            due = int(self._wall) + self._choice((-5, 0, 1, 2, 10, 100))
            body = b"\0".join((name, unique, b"%d" % due, workload))
            self._model.submit(actor.model, name, unique, workload, 1, True, float(due))
            self._broker.receive(actor.peer, p.SUBMIT_JOB_EPOCH, body)
            return
        type, priority, background = self._choice(_SUBMISSIONS)
        self._model.submit(actor.model, name, unique, workload, priority, background, 0.0)
        self._broker.receive(actor.peer, type, b"\0".join((name, unique, workload)))

    def _withdraw(self) -> None:
        """Wait for a job no more."""
        waiting = [actor for actor in self._actors if actor.model.attached]
        if not waiting:
            return
        actor = self._choice(waiting)
        self._model.stir(actor.model)
        job = self._choice(actor.model.attached)
        self._model.withdraw(actor.model, job)
        self._broker.receive(actor.peer, p.OPTION_REQ, b"withdraw=" + job.handle)

    def _ask(self) -> None:
        """GET_STATUS or `geartrain.result` for a job that is there, that was, or that never was."""
        actor = self._any()
        if actor is None:
            return
        model = self._model
        model.stir(actor.model)
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
        self._model.stir(actor.model)
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
            self._model.stir(actor.model)
            actor.model.sleeping = True
            actor.model.woken_at = -1
            self._broker.receive(actor.peer, p.PRE_SLEEP, b"")

    def _end(self, actor: Actor | None = None) -> None:
        found = self._running(actor) or self._late()
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
                if self._model.late(actor.model, handle) is not None:
                    self._model.event(actor.model, p.WORK_DATA, self._model.jobs[handle], b"data")
                    self._broker.receive(actor.peer, p.WORK_DATA, handle + b"\0data")
                elif handle not in actor.model.running:
                    self._model.stir(actor.model)
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
            max_attempts=self._choice((0, 0, 1, 2, 4)),
            max_timeouts=self._choice((0, 1, 2)),
            retry=self._choice(((), ("fail",), ("exception",), ("fail", "exception"))),
            backoff=self._choice(("none", "fixed", "linear", "exponential")),
            first_delay=self._choice((0.5, 2.0)),
            max_delay=self._choice((0.0, 5.0)),
            timeout=self._choice((0.0, 0.0, 3.0)),
            max_queue=self._choice((0, 0, 5)),
            concurrency=self._choice((0, 0, 1, 3)),
            rate=self._choice((0.0, 0.0, 0.5, 5.0)),
            keep_results=self._choice((0.0, 2.0, 60.0)),
            max_age=self._choice((0.0, 0.0, 0.0, 20.0)),
            paused=self._random() < 0.1,
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
            self._rule(Rules(max_timeouts=0), name)
            self._look()
        self._commit()
        for handle in list(self._model.dead):
            self._model.requeue(handle)
            self._administer("dead.requeue", {"handle": handle.decode()})
        self._wall = max(self._wall, *(job.due for job in self._model.jobs.values()), 0.0)
        self._wall = max(self._wall, *(expires for _, _, expires in self._model.results.values()), 0.0)
        self._now = max(self._now, *(job.rests_until or 0.0 for job in self._model.jobs.values()), 0.0)
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

    def _late(self) -> tuple[Actor, Job] | None:
        """A connection that may still end a job that timed out there, and the job."""
        for actor in self._actors:
            job = self._model.late(actor.model)
            if job is not None:
                self._model.take_late(actor.model, job)
                self._count("late ends")
                return actor, job
        return None

    def _running(self, actor: Actor | None) -> tuple[Actor, Job] | None:
        """A connection that runs a job, and the job."""
        busy = [actor] if actor else [one for one in self._actors if one.model.running]
        if not busy or not busy[0].model.running:
            return None
        chosen = self._choice(busy)
        return chosen, self._choice(list(chosen.model.running.values()))
