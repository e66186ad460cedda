"""What the job server should do, written down naively: plain lists, no cleverness, none of the broker's code.

It is told what the broker is told, and predicts every packet but NOOP, of which the protocol leaves open who
gets it; `invariants.py` says what must hold of those. Where the order of things is a promise (priority, FIFO,
acknowledgements), the order here is the promise.
"""

from __future__ import annotations

from geartrain.wire import packets as p

from .books import Books
from .parts import DEAD, DELAYED, QUEUED, RUNNING, Function, Job, Peer, Rules, packet


class Model(Books):
    """All of it. `touched` holds the peers with something new in `expected`."""

    def __init__(self, prefix: bytes, max_results: int, max_result_bytes: int, is_patient: bool) -> None:
        super().__init__()
        self.is_patient = is_patient
        self.prefix = prefix
        self.max_results = max_results
        self.max_result_bytes = max_result_bytes
        self.now = 0.0
        self.wall = 0.0
        self.ticks = 0
        self.next_number = 0
        self.functions: dict[bytes, Function] = {}
        self.rules: dict[bytes, Rules] = {}
        self.results: dict[bytes, tuple[str, bytes, float]] = {}
        self.waiters: list[tuple[Job, Peer, bytes]] = []
        self.running: dict[bytes, Job] = {}
        # Functions whose rate is limited, in the order in which their tokens grow.
        self.paced: dict[bytes, Function] = {}
        # Of functions that are not known yet: how many of their jobs might start, and since when.
        self.paces: dict[bytes, tuple[float, float]] = {}
        # Grabs that wait for a job, longest first, and those of them that have waited for one interval.
        self.grabs: list[Peer] = []
        self.old_grabs: list[Peer] = []
        # Seconds of the time limit that was exceeded last.
        self.limit = 0.0
        # How many of those got a job.
        self.rewarded = 0

    def function(self, name: bytes) -> Function:
        function = self.functions.get(name)
        if function is None:
            function = self.functions[name] = Function(name, self.rules.get(name, Rules()))
            self._pace(function)
        return function

    def _pace(self, function: Function) -> None:
        burst = max(1.0, function.rules.rate)
        if function.rules.rate:
            if function.name not in self.paced:
                tokens, since = self.paces.pop(function.name, (burst, self.wall))
                function.tokens = tokens + function.rules.rate * max(0.0, self.wall - since)
            function.tokens = min(function.tokens, burst)
            self.paced[function.name] = function
        else:
            self.paced.pop(function.name, None)
            self.paces.pop(function.name, None)

    def next_handle(self) -> bytes:
        self.next_number += 1
        return self.prefix + b"%d" % (self.next_number - 1)

    # Submitting

    def submit(
        self,
        peer: Peer,
        name: bytes,
        unique: bytes,
        workload: bytes,
        priority: int,
        background: bool,
        due: float,
    ) -> None:
        function = self.function(name)
        expires, peer.expires = peer.expires, 0.0
        ages = [age for age in (expires, function.rules.max_age) if age]
        job = Job(0, b"", function, unique, workload, priority, background, due=due, queued_at=self.wall)
        if ages:
            job.expires_at = max(self.wall, due) + min(ages)
        found = function.coalesce.get(job.key) if job.key else None
        if found is None:
            if function.rules.max_queue and function.total >= function.rules.max_queue:
                self.tell(peer, packet(p.ERROR, b"QUEUE_ERROR", b"Job queue is full"))
                return
            job.number = self.next_number
            job.handle = self.next_handle()
            self._register(job)
        else:
            later = self.wall + min(ages) if ages else 0.0
            job = found
            if job.expires_at and (not later or later > job.expires_at):
                job.expires_at = later
                self.save(job)
            job.background = job.background or background
        if background:
            if not job.commit:
                job.commit = self.commit
                self.new_gathering.append(job)
                self.save(job)
            self.acknowledge(peer, job)
        else:
            job.clients.append(peer)
            peer.attached.append(job)
            self.tell(peer, packet(p.JOB_CREATED, job.handle))
        if found is None:
            self._start(job)

    def _register(self, job: Job) -> None:
        self.jobs[job.handle] = job
        job.function.total += 1
        if job.key:
            job.function.coalesce.setdefault(job.key, job)

    def _unregister(self, job: Job) -> None:
        del self.jobs[job.handle]
        job.function.total -= 1
        if job.key and job.function.coalesce.get(job.key) is job:
            del job.function.coalesce[job.key]
        for client in job.clients:
            client.attached.remove(job)
        job.clients = []

    def _start(self, job: Job) -> None:
        if job.due > self.wall:
            job.state = DELAYED
        else:
            job.due = 0.0
            self._queue(job, False)

    def _queue(self, job: Job, at_head: bool) -> None:
        job.state = QUEUED
        job.rests_until = None
        job.function.waiting += 1
        queue = job.function.queues[job.priority]
        queue.insert(0 if at_head else len(queue), job)
        self._answer_grabs(job.function)

    # Working

    def can_do(self, peer: Peer, name: bytes, timeout: float) -> None:
        peer.abilities.pop(name, None)
        peer.abilities[name] = timeout
        self.function(name).workers[peer] = None

    def cant_do(self, peer: Peer, name: bytes) -> None:
        if name in peer.abilities:
            del peer.abilities[name]
            del self.functions[name].workers[peer]

    def grab(self, peer: Peer, with_unique: bool) -> None:
        peer.sleeping = False
        peer.woken_at = -1
        able = [self.functions[name] for name in reversed(peer.abilities)]
        function = next(
            (f for priority in range(3) for f in able if f.queues[priority] and f.demand()),
            None,
        )
        if function is None:
            if self.is_patient and peer.had_job:
                peer.grab = with_unique
                self.grabs.append(peer)
            else:
                self._no_job(peer)
            return
        self._assign(peer, function, with_unique)

    def _no_job(self, peer: Peer) -> None:
        peer.had_job = False
        self.tell(peer, packet(p.NO_JOB))

    def _answer_grabs(self, function: Function) -> None:
        """Jobs that may start are for those whose grabs wait."""
        while function.demand():
            able = [peer for peer in self.grabs if function.name in peer.abilities]
            if not able:
                return
            self.rewarded += 1
            self._assign(able[0], function, self._leave(able[0]))

    def _leave(self, peer: Peer) -> bool:
        with_unique = bool(peer.grab)
        peer.grab = None
        self.grabs.remove(peer)
        if peer in self.old_grabs:
            self.old_grabs.remove(peer)
        return with_unique

    def stir(self, peer: Peer) -> None:
        """The peer sends something that may have an answer: its grab is answered first."""
        if peer.grab is not None:
            self._leave(peer)
            self._no_job(peer)

    def expire(self) -> None:
        """Grabs have waited for another interval."""
        for peer in list(self.old_grabs):
            self.stir(peer)
        self.old_grabs = list(self.grabs)

    def _assign(self, peer: Peer, function: Function, with_unique: bool) -> None:
        name = function.name
        peer.had_job = True
        job = next(queue for queue in function.queues if queue).pop(0)
        function.waiting -= 1
        function.running += 1
        function.tokens -= 1
        if function.rules.rate:
            function.spent += 1
        job.state = RUNNING
        job.worker = peer
        peer.timed_out.pop(job.handle, None)
        peer.running[job.handle] = job
        timeout = peer.abilities[name] or function.rules.timeout
        if timeout:
            job.deadline = self.now + timeout
            self.running[job.handle] = job
        if with_unique:
            self.tell(peer, packet(p.JOB_ASSIGN_UNIQ, job.handle, name, job.unique, job.workload))
        else:
            self.tell(peer, packet(p.JOB_ASSIGN, job.handle, name, job.workload))

    def event(self, peer: Peer, type: int, job: Job, data: bytes) -> None:
        for client in job.clients:
            self.tell(client, packet(type, job.handle, data))

    def progress(self, peer: Peer, job: Job, numerator: bytes, denominator: bytes) -> None:
        job.progress = (numerator, denominator)
        for client in job.clients:
            self.tell(client, packet(p.WORK_STATUS, job.handle, numerator, denominator))

    def end(self, peer: Peer, job: Job, kind: str, data: bytes) -> None:
        for client in job.clients:
            self._tell_end(client, job.handle, kind, data)
        self._take_from_worker(job)
        if job.background and kind in job.function.rules.retry:
            for client in job.clients:
                client.attached.remove(job)
            job.clients = []
            self._try_again(job)
        else:
            self._conclude(job, kind, data)
            self._forget(job)
        # Where few may run at a time, another one may now.
        self._answer_grabs(job.function)

    def _tell_end(self, client: Peer, handle: bytes, kind: str, data: bytes) -> None:
        if kind == "complete":
            self.tell(client, packet(p.WORK_COMPLETE, handle, data))
        elif kind in ("exception", "expired") and client.wants_exceptions:
            self.tell(client, packet(p.WORK_EXCEPTION, handle, data))
        else:
            self.tell(client, packet(p.WORK_FAIL, handle))

    def _take_from_worker(self, job: Job) -> None:
        if job.worker is not None:
            del job.worker.running[job.handle]
            job.worker = None
            job.function.running -= 1
            self.running.pop(job.handle, None)

    def late(self, peer: Peer, handle: bytes = b"") -> Job | None:
        """A job that timed out at a worker and that it may still end, with that handle if there is one."""
        for job, life in peer.timed_out.values():
            if handle not in (b"", job.handle):
                continue
            if job.worker is None and self.jobs.get(job.handle) is job and job.lives == life:
                return job
        return None

    def take_late(self, peer: Peer, job: Job) -> None:
        """The worker ends it after all."""
        del peer.timed_out[job.handle]
        if job.state == QUEUED:
            job.function.queues[job.priority].remove(job)
            job.function.waiting -= 1
        job.due = 0.0
        job.rests_until = None
        job.attempts -= 1
        job.state = RUNNING
        job.worker = peer
        job.function.running += 1
        peer.running[job.handle] = job

    def _time_out(self, job: Job) -> None:
        worker = job.worker
        assert worker is not None
        job.timeouts += 1
        self.limit = worker.abilities.get(job.function.name, 0.0) or job.function.rules.timeout
        self.give_back(job, timed_out=True)
        if job.worker is None and self.jobs.get(job.handle) is job:
            worker.timed_out[job.handle] = job, job.lives

    def withdraw(self, peer: Peer, job: Job) -> None:
        job.clients.remove(peer)
        peer.attached.remove(job)
        if not job.clients and not job.background and job.worker is None:
            self._forget(job)
        self.tell(peer, packet(p.OPTION_RES, b"withdraw"))

    def _expire(self, job: Job) -> None:
        seconds = f"{job.expires_at - job.queued_at:.3f}".rstrip("0").rstrip(".")
        text = f"expired: no worker took the job within {seconds} s".encode()
        for client in job.clients:
            self._tell_end(client, job.handle, "expired", text)
            client.attached.remove(job)
        job.clients = []
        self._conclude(job, "expired", text)
        self._forget(job)

    def _try_again(self, job: Job, timed_out: bool = False) -> None:
        rules = job.function.rules
        if 0 < job.expires_at <= self.wall:
            self._expire(job)
            return
        job.attempts += 1
        job.progress = (b"0", b"0")
        if not timed_out:
            job.timeouts = 0
        elif rules.max_timeouts and not rules.max_attempts and job.timeouts >= rules.max_timeouts:
            times = f"{job.timeouts} times in a row" if job.timeouts > 1 else "once"
            self._use_up(job, f"the job exceeded its time limit of {self.limit:g} s {times}".encode())
            return
        if rules.max_attempts and job.attempts >= rules.max_attempts:
            self._use_up(job)
            return
        job.due = 0.0
        if job.background and (rules.max_attempts or rules.backoff != "none"):
            delay = rules.delay(job.attempts, job.handle)
            if delay:
                job.due = self.wall + delay
                job.rests_until = self.now + delay
                job.state = DELAYED
            self.save(job)
            if delay:
                return
        elif job.background and job.timeouts and rules.max_timeouts:
            self.save(job)
        self._queue(job, True)

    def _use_up(self, job: Job, told: bytes = b"") -> None:
        kind = "exception" if told else "fail"
        for client in job.clients:
            self._tell_end(client, job.handle, kind, told)
        if not job.background:
            self._tell_waiters(job, kind, told)
            self._forget(job)
            return
        self._unregister(job)
        job.state = DEAD
        job.due = 0.0
        self.dead[job.handle] = job
        self.save(job)
        self._conclude(job, kind, told)

    def _tell_waiters(self, job: Job, kind: str, data: bytes) -> None:
        for waited_for, peer, handle in self.waiters:
            if waited_for is job:
                self._tell_end(peer, handle, kind, data)
        self.waiters = [waiter for waiter in self.waiters if waiter[0] is not job]

    def _conclude(self, job: Job, kind: str, data: bytes) -> None:
        self._tell_waiters(job, kind, data)
        keep = job.function.rules.keep_results
        if not keep or not job.background or len(data) > self.max_result_bytes:
            return
        result = (kind, data, self.wall + keep)
        self.results.pop(job.handle, None)
        self.results[job.handle] = result
        self.gathering["result", job.handle] = result
        while (
            len(self.results) > self.max_results
            or sum(len(data) for _, data, _ in self.results.values()) > self.max_result_bytes
        ):
            self._drop_result(next(iter(self.results)))

    def _drop_result(self, handle: bytes) -> None:
        del self.results[handle]
        self.gathering["result", handle] = None

    def _forget(self, job: Job) -> None:
        if job.state == QUEUED:
            job.function.queues[job.priority].remove(job)
            job.function.waiting -= 1
        self._tell_waiters(job, "fail", b"")
        self.end_in_journal(job)
        self._unregister(job)
        self.promised.pop(job.handle, None)

    def disconnect(self, peer: Peer) -> None:
        if peer.grab is not None:
            self._leave(peer)
        self.waiters = [waiter for waiter in self.waiters if waiter[1] is not peer]
        self.waits_for_commit = [waiting for waiting in self.waits_for_commit if waiting[0] is not peer]
        for job in list(dict.fromkeys(peer.attached)):
            job.clients = [client for client in job.clients if client is not peer]
            if not job.clients and not job.background and job.worker is None:
                self._forget(job)
        peer.attached = []
        for name in list(peer.abilities):
            self.cant_do(peer, name)
        for job in reversed(list(peer.running.values())):
            self.give_back(job)
        peer.expected = []
        peer.timed_out = {}
        self.touched.pop(peer, None)

    def give_back(self, job: Job, timed_out: bool = False) -> None:
        self._take_from_worker(job)
        if job.clients or job.background:
            self._try_again(job, timed_out)
        else:
            self._forget(job)
        self._answer_grabs(job.function)

    # Asking

    def status(self, peer: Peer, handle: bytes) -> None:
        job = self.jobs.get(handle)
        if job is None:
            self.tell(peer, packet(p.STATUS_RES, handle, b"0", b"0", b"0", b"0"))
        else:
            running = b"%d" % (job.worker is not None)
            self.tell(peer, packet(p.STATUS_RES, handle, b"1", running, *job.progress))

    def ask_result(self, peer: Peer, asked_for: bytes) -> None:
        handle = self.next_handle()
        self.tell(peer, packet(p.JOB_CREATED, handle))
        result = self.results.get(asked_for)
        if result is not None and result[2] > self.wall:
            self._tell_end(peer, handle, result[0], result[1])
        elif asked_for in self.jobs:
            self.waiters.append((self.jobs[asked_for], peer, handle))
        elif asked_for in self.dead:
            self._tell_end(peer, handle, "fail", b"")
        else:
            self._tell_end(peer, handle, "exception", asked_for + b": no job or kept result has this handle")

    # Ruling

    def set_rules(self, name: bytes, rules: Rules) -> None:
        self.next_handle()
        self.rules[name] = rules
        self.gathering["policy", name] = rules
        function = self.functions.get(name)
        if function is not None:
            function.rules = rules
            self._pace(function)
            self._answer_grabs(function)

    def requeue(self, handle: bytes) -> None:
        self.next_handle()
        job = self.dead.pop(handle)
        if handle in self.results:
            self._drop_result(handle)
        job.attempts = job.timeouts = 0
        job.expires_at = 0.0
        job.lives += 1
        job.state = QUEUED
        self._register(job)
        self.save(job)
        self._start(job)

    def drop(self, handle: bytes) -> None:
        self.next_handle()
        job = self.dead.pop(handle)
        self.end_in_journal(job)
        self.promised.pop(handle, None)

    # Time

    def tick(self, now: float, wall: float) -> None:
        passed = max(0.0, now - self.now)
        self.now = now
        self.wall = wall
        self.ticks += 1
        delayed = [job for job in self.jobs.values() if job.state == DELAYED]
        by_date = [job for job in delayed if job.rests_until is None and job.due <= wall]
        rested = [job for job in delayed if job.rests_until is not None and job.rests_until <= now]
        for job in sorted(by_date, key=lambda job: (job.due, job.number)):
            job.due = 0.0
            self._queue(job, False)
        for job in sorted(rested, key=lambda job: (job.rests_until, job.number)):
            job.due = 0.0
            self._queue(job, False)
        for job in list(self.running.values()):
            if job.deadline <= now:
                self._time_out(job)
        old = [job for job in self.jobs.values() if job.worker is None and 0 < job.expires_at <= wall]
        for job in sorted(old, key=lambda job: (job.expires_at, job.handle)):
            self._expire(job)
        for function in self.paced.values():
            rate = function.rules.rate
            function.tokens = min(max(1.0, rate), function.tokens + rate * passed)
            if function.spent and not 0 < function.told_from - wall <= 1:
                function.spent = 0
                function.told_from = wall + 1 if rate > 1 else wall
                self.gathering["pace", function.name] = (round(function.tokens, 6), wall)
            self._answer_grabs(function)
        for handle in [handle for handle, result in self.results.items() if result[2] <= wall]:
            self._drop_result(handle)

    # What survives

    def refused(self, reason: bytes) -> None:
        in_flight = self.in_flight or {}
        refused = [job for job in self.new_in_flight if job.commit]
        for job in refused:
            job.commit = 0
            job.background = False
            in_flight.pop(("job", job.number), None)
            self.gathering.pop(("job", job.number), None)
        ended = {job.number for job in self.new_in_flight} - {job.number for job in refused}
        for key, value in in_flight.items():
            if key[0] != "job" or key[1] not in ended:
                self.gathering.setdefault(key, value)
        self.answer_all(set(refused), packet(p.ERROR, b"QUEUE_ERROR", reason))
        for job in refused:
            if self.dead.pop(job.handle, None) is None and not job.clients and job.worker is None:
                self._forget(job)

    def restart(self, first_number: int) -> None:
        """The server is gone, with all that was not durable; another one takes up the rest."""
        for name in ("functions", "rules", "jobs", "dead", "results", "running", "touched", "gathering"):
            getattr(self, name).clear()
        self.paced.clear()
        self.paces = {
            key: (max(0.0, value[0]), min(value[1], self.wall))
            for (kind, key), value in self.durable.items()
            if kind == "pace"
        }
        self.grabs = []
        self.old_grabs = []
        self.waiters = []
        self.waits_for_commit = []
        self.new_gathering = []
        self.new_in_flight = []
        self.in_flight = None
        self.commit = 1
        self.ticks = 0
        self.next_number = first_number
        for (kind, key), value in self.durable.items():
            if kind == "policy":
                self.rules[key] = value
        for (kind, key), value in sorted(
            self.durable.items(), key=lambda item: (item[0][0], str(item[0][1]))
        ):
            if kind == "result":
                self.results[key] = value
        kept = sorted((key, value) for (kind, key), value in self.durable.items() if kind == "job")
        for number, (
            name,
            unique,
            workload,
            priority,
            due,
            is_dead,
            attempts,
            timeouts,
            queued_at,
            expires_at,
        ) in kept:
            handle = self.prefix + b"%d" % number
            job = Job(number, handle, self.function(name), unique, workload, priority, True)
            job.due, job.attempts, job.timeouts, job.queued_at, job.commit = (
                due,
                attempts,
                timeouts,
                queued_at,
                -1,
            )
            job.expires_at = expires_at
            if is_dead:
                job.state = DEAD
                self.dead[job.handle] = job
            else:
                self._register(job)
                if attempts:
                    rest = min(job.due - self.wall, job.function.rules.delay(attempts, job.handle))
                    if rest > 0:
                        job.state = DELAYED
                        job.rests_until = self.now + rest
                        continue
                    job.due = 0.0
                self._start(job)
