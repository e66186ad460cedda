"""The life of a job: made, started, assigned, tried again, ended. The table is at the top of `state.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from ..wire import packets as p
from ..wire.codec import response
from . import policies
from .calendar import Calendar
from .dead import Dead
from .dispatch import Dispatch
from .expiry import Expiry
from .functions import PACE, Functions
from .handles import LARGEST_NUMBER, Handles
from .history import History, dump_history, load_history
from .ledger import Ledger
from .limits import Limits, size_of
from .outbox import Outboxes
from .records import DEAD, QUEUED, Document, JobRecord
from .results import EXCEPTION, EXPIRED, FAIL, Outcome, Results, load_outcome
from .state import NORMAL, PRIORITIES, Function, Job, Peer
from .waiters import Waiters

MAX_HISTORY: Final = 100
"""Attempts that a job's history tells of at most, the latest ones."""
TIMED_OUT: Final = "time-out"
"""Reason of an attempt that took longer than its time limit."""


class Jobs:
    """Every job of one broker, and what becomes of it with time."""

    def __init__(
        self,
        outboxes: Outboxes,
        dispatch: Dispatch,
        ledger: Ledger,
        handles: Handles,
        functions: Functions,
        now: float,
        wall: float,
        limits: Limits,
    ) -> None:
        self._outboxes = outboxes
        self._dispatch = dispatch
        self._ledger = ledger
        self.now = now
        self.wall = wall
        self.limits = limits
        # Bytes of all jobs.
        self.bytes = 0
        self.by_handle = handles
        # Who is told what becomes of jobs that do not end as they should: how, to go after "the job".
        self.notice: Callable[[Job, str], None] | None = None
        self.functions = functions
        self.dead = Dead(limits.max_dead_bytes)
        self.results = Results()
        self.waiters = Waiters(outboxes)
        # Jobs that wait for a date, in seconds since the epoch, and those that rest between two attempts, on
        # the clock that never jumps.
        self._dated = Calendar()
        self._resting = Calendar()
        self.expiry = Expiry()
        # Running jobs that have a time limit, and when it is over.
        self._deadlines: dict[bytes, float] = {}
        # The time limit in seconds that was exceeded last.
        self._passed_limit = 0.0

    # Coming

    def find(self, function: Function, unique: bytes, workload: bytes) -> Job | None:
        """The job that a submission coalesces with."""
        if not unique:
            return None
        if unique == b"-":
            return function.workloads.get(workload) if workload else None
        return function.uniques.get(unique)

    def create(
        self,
        function: Function,
        unique: bytes,
        workload: bytes,
        priority: int,
        background: bool,
        reducer: bytes,
        size: int,
    ) -> Job:
        """A new job with the next handle and of that `job_size`; nothing happens to it before `start`."""
        number, handle = self.by_handle.give_out()
        job = Job(number, handle, function, unique, workload, priority, background, reducer, self.wall)
        self._register(job, size)
        return job

    def __len__(self) -> int:
        return len(self.by_handle)

    def _register(self, job: Job, size: int) -> None:
        function = job.function
        self.by_handle.add(job)
        function.total += 1
        function.bytes += size
        self.bytes += size
        unique = job.unique
        if unique:
            if unique != b"-":
                function.uniques.setdefault(unique, job)
            elif job.workload:
                function.workloads.setdefault(job.workload, job)

    def start(self, job: Job) -> None:
        """Queue a job, now or when it is due."""
        if job.due:
            if job.due > self.wall:
                self._dated.add(job.due, job)
                return
            job.due = 0.0
        self._dispatch.queue(job, False)

    def save(self, job: Job) -> None:
        """Make a background job durable as it is now, for the first time or again."""
        if not self._ledger.durable:
            return
        history = dump_history(History(job.attempts, tuple(job.history or ()), job.timeouts, job.expires_at))
        self._ledger.save(job, DEAD if job.handle in self.dead else QUEUED, history)

    def restore(self, record: JobRecord) -> None:
        """Take up a job that a journal kept, whatever the limits are now.

        A job that can't be used is dead, and quarantined: the others are served.
        """
        reason = _why_unusable(record)
        if reason:
            self._quarantine(record, reason)
            return
        handle = self.by_handle.handle(record.number)
        function = self.functions.of_job(record.function)
        job = Job(
            record.number,
            handle,
            function,
            record.unique,
            record.workload,
            record.priority,
            True,
            record.reducer,
            record.queued_at,
        )
        job.due = record.due
        job.serial = -1
        if record.history:
            history = load_history(record.history)
            job.attempts = history.attempts
            job.timeouts = history.timeouts
            job.history = list(history.reasons)
            job.expires_at = history.expires_at
        self.by_handle.skip(record.number)
        if record.state == DEAD:
            self._bury(job)
            return
        self._register(job, size_of(job))
        if job.expires_at:
            self.expiry.add(job)
        if job.attempts and job.due > self.wall:
            # Not longer than it has to, though the clock may have been set back meanwhile.
            rest = min(job.due - self.wall, function.policy.delay(job.attempts, handle))
            if rest:
                self._resting.add(self.now + rest, job)
                return
            job.due = 0.0
        self.start(job)

    def _quarantine(self, record: JobRecord, reason: str) -> None:
        handle = self.by_handle.handle(record.number)
        # Requeued, it is a job like any other: only what can be written again is taken over.
        priority = record.priority if 0 <= record.priority < PRIORITIES else NORMAL
        queued_at = record.queued_at if math.isfinite(record.queued_at) else 0.0
        job = Job(
            record.number,
            handle,
            self.functions.of_job(record.function),
            record.unique,
            record.workload,
            priority,
            True,
            record.reducer,
            queued_at,
        )
        job.serial = -1
        job.history = [(self.wall, f"it can't be used: {reason}")]
        if record.number < LARGEST_NUMBER:
            self.by_handle.skip(record.number)
        self._ledger.quarantine.add("job", handle.decode(), b"", reason)
        self._bury(job)

    def restore_document(self, document: Document) -> None:
        """Take up a policy or an outcome that a journal kept; other kinds belong to others.

        A document that can't be used is quarantined.
        """
        kind, key, value = document
        try:
            if kind == policies.KIND:
                self.functions.policies.restore(document)
            elif kind == PACE:
                self.functions.restore_pace(document, self.wall)
            elif kind == "result":
                for handle in self.results.put(load_outcome(key, value)):
                    self._ledger.drop("result", handle.decode())
        except ValueError as error:
            self._ledger.quarantine.add(kind, key, value, str(error))

    # Running

    def assign(self, peer: Peer, function: Function) -> Job:
        """Give a worker the function's next job; there must be one."""
        job = self._dispatch.pop(function)
        function.running += 1
        policy = function.policy
        if policy.rate:
            function.tokens -= 1
            function.spent += 1
        job.worker = peer
        job.started_at = self.wall
        if peer.timed_out:
            self._give_up_late(job, peer)
        peer.running[job.handle] = job
        timeout = peer.abilities[function.name].timeout or policy.timeout
        if timeout:
            self._deadlines[job.handle] = self.now + timeout
        return job

    def give_back(self, job: Job, reason: str) -> None:
        """Take a job from a worker that is lost or too late; try again if the job is still wanted."""
        if self.notice is not None:
            self.notice(job, f"was given back: {reason}")
        self._take_from_worker(job)
        if not job.clients and not job.background:
            self.forget(job)
        else:
            self.try_again(job, reason)
        self._let_others_start(job.function)

    def _time_out(self, job: Job) -> None:
        """Take a job from a worker that has run it for longer than its time limit.

        The worker may still end the job, as long as no other one has been given it.
        """
        worker = job.worker
        assert worker is not None
        function = job.function
        ability = worker.abilities.get(function.name)
        limit = (ability.timeout if ability is not None else 0.0) or function.policy.timeout
        job.timeouts += 1
        self._passed_limit = limit
        self.give_back(job, TIMED_OUT)
        if job.worker is None and self.by_handle.get(job.handle) is job:
            worker.timed_out[job.handle] = job
            job.late_workers = [*(job.late_workers or ()), worker]

    def take_late(self, peer: Peer, handle: bytes) -> Job | None:
        """Give a job that timed out at a worker back to it, now that it ends; None if that is too late.

        It is too late once the job has ended or runs at another worker.
        """
        job = peer.timed_out.get(handle)
        if job is None or job.worker is not None or job.cancelled:
            return None
        self._give_up_late(job, peer)
        if job.queued:
            self._dispatch.remove(job)
        elif job.due:
            self._resting.remove(job)
        # The attempt that timed out is the one that ends now.
        job.attempts -= 1
        job.worker = peer
        job.function.running += 1
        peer.running[handle] = job
        return job

    def waits_at(self, peer: Peer, handle: bytes) -> Job | None:
        """Return a job that timed out at a worker and that no other worker has been given."""
        job = peer.timed_out.get(handle)
        return job if job is not None and job.worker is None else None

    def leave_late(self, peer: Peer) -> None:
        """Forget the jobs that timed out at a worker that is gone."""
        for job in list(peer.timed_out.values()):
            self._give_up_late(job, peer)

    def _give_up_late(self, job: Job, peer: Peer) -> None:
        if peer.timed_out.pop(job.handle, None) is not None and job.late_workers is not None:
            job.late_workers = [worker for worker in job.late_workers if worker is not peer] or None

    def fail(self, job: Job, reason: str) -> None:
        """End a running job for good, for a reason that another attempt would meet again.

        Clients that asked for exceptions get one with the reason, the others WORK_FAIL. A background job is
        dead.
        """
        self._take_from_worker(job)
        job.attempts += 1
        self._use_up(job, reason, reason.encode("utf-8", "replace"))
        self._let_others_start(job.function)

    def try_again(self, job: Job, reason: str) -> None:
        """Queue a job again whose attempt failed, or give it up if its attempts are used up."""
        if job.expires_at and job.expires_at <= self.wall:
            self._expire(job)
            return
        if job.expires_at:
            self.expiry.add_again(job)
        job.attempts += 1
        job.numerator = job.denominator = 0
        policy = job.function.policy
        if reason != TIMED_OUT:
            job.timeouts = 0
        elif policy.max_timeouts and not policy.max_attempts and job.timeouts >= policy.max_timeouts:
            limit = f"its time limit of {self._passed_limit:g} s"
            times = f"{job.timeouts} times in a row" if job.timeouts > 1 else "once"
            told = f"exceeded {limit} {times}"
            self._use_up(job, f"{TIMED_OUT}: {told}", f"the job {told}".encode())
            return
        if policy.max_attempts and job.attempts >= policy.max_attempts:
            self._use_up(job, reason)
            return
        if job.background and (policy.max_attempts or policy.backoff != "none"):
            self._note(job, reason)
            delay = policy.delay(job.attempts, job.handle)
            job.due = self.wall + delay if delay else 0.0
            self.save(job)
            if delay:
                self._resting.add(self.now + delay, job)
                return
        elif job.background and job.timeouts and policy.max_timeouts:
            # Counted over a restart, too.
            self.save(job)
        # It had its turn: it goes before those that had none yet.
        self._dispatch.queue(job, True)

    def _note(self, job: Job, reason: str) -> None:
        job.history = [*(job.history or [])[-MAX_HISTORY + 1 :], (self.wall, reason)]

    def _use_up(self, job: Job, reason: str, told: bytes = b"") -> None:
        """Give a job up: its clients are told that it failed, and a background job is dead.

        Clients that asked for exceptions get `told` as one, if there is anything to tell.
        """
        if self.notice is not None:
            self.notice(job, f"was given up: {reason}" if told else f"used up its attempts: {reason}")
        for client in job.clients:
            if told:
                self._outboxes.send_end(client, EXCEPTION, job.handle, told)
            else:
                self._outboxes.send_end(client, FAIL, job.handle, b"")
        if not job.background:
            if self.waiters.count:
                self.waiters.tell(job, EXCEPTION if told else FAIL, told)
            self.forget(job)
            return
        self._note(job, reason)
        self._unregister(job)
        job.clients = []
        job.due = 0.0
        self._bury(job)
        self.save(job)
        self._conclude(job, EXCEPTION if told else FAIL, told)

    # Going

    def end(self, job: Job, kind: str, body: bytes) -> None:
        """A worker ended a job in one of the three ways; `body` holds its handle, a NUL, and the data."""
        self._take_from_worker(job)
        policy = job.function.policy
        # Cut out only if somebody wants it: most jobs end without, and a result may be large.
        wanted = self.waiters.count or policy.keep_results or policy.retry
        data = body[len(job.handle) + 1 :] if wanted else b""
        if job.background:
            if kind in policy.retry:
                text = data.decode("utf-8", "replace")[:200]
                for client in job.clients:
                    client.waits_for.pop(job.handle, None)
                job.clients = []
                self.try_again(job, f"{kind}: {text}" if text else kind)
                self._let_others_start(job.function)
                return
            self._conclude(job, kind, data)
        elif self.waiters.count:
            self.waiters.tell(job, kind, data)
        self.forget(job)
        self._let_others_start(job.function)

    def _conclude(self, job: Job, kind: str, data: bytes) -> None:
        """A background job has ended for good: tell who waits for that, and keep it if the policy says so."""
        if self.waiters.count:
            self.waiters.tell(job, kind, data)
        keep = job.function.policy.keep_results
        if not keep or not self.results.can_hold(data):
            return
        outcome = Outcome(
            job.handle,
            job.function.name,
            kind,
            data,
            job.numerator,
            job.denominator,
            job.attempts + (job.handle not in self.dead),
            job.queued_at,
            job.started_at,
            self.wall,
            self.wall + keep,
        )
        for handle in self.results.put(outcome):
            self._ledger.drop("result", handle.decode())
        self._ledger.keep(Document("result", job.handle.decode(), outcome.dump()))

    def _take_from_worker(self, job: Job) -> None:
        worker = job.worker
        if worker is None:
            return
        del worker.running[job.handle]
        job.worker = None
        job.function.running -= 1
        if self._deadlines:
            self._deadlines.pop(job.handle, None)

    def _let_others_start(self, function: Function) -> None:
        """One that ran is where it goes: if only so many may run at a time, the next one may now."""
        if function.policy.concurrency:
            self._dispatch.rebalance(function)

    def cancel(self, handle: bytes) -> bool:
        """A job is not wanted any more; its clients are told that it failed. False if there is none.

        A running one is over for everybody but its worker, which is not told: it may end it as usual.
        """
        job = self.by_handle.get(handle)
        if job is None or job.cancelled:
            return False
        if self.notice is not None:
            self.notice(job, "was cancelled")
        failed = response(p.WORK_FAIL, handle)
        for client in job.clients:
            self._outboxes.send(client, failed)
            client.waits_for.pop(handle, None)
        job.clients = []
        if job.background:
            self._conclude(job, FAIL, b"")
        elif self.waiters.count:
            self.waiters.tell(job, FAIL, b"")
        if job.worker is None:
            self.forget(job)
        else:
            job.cancelled = True
            job.background = False
            self._let_others_be(job)
            self._ledger.end(job)
        return True

    def withdraw(self, peer: Peer, handle: bytes) -> None:
        """One submission of a peer is not waited for any more; nothing happens if there is none.

        The job goes unless it runs, is in the background, or somebody else waits for it.
        """
        job = peer.waits_for.get(handle)
        if job is None:
            return
        clients = list(job.clients)
        clients.remove(peer)
        job.clients = clients
        if peer not in clients:
            del peer.waits_for[handle]
        if not clients and not job.background and job.worker is None:
            self.forget(job)

    # Expiring

    def set_expiry(self, job: Job, seconds: float) -> None:
        """Have a new job expire after so many seconds, 0: never, and after its function's `max_age`."""
        max_age = job.function.policy.max_age
        age = min(seconds, max_age) if seconds and max_age else seconds or max_age
        # A delayed job is as old as its time is past.
        job.expires_at = max(self.wall, job.due) + age
        self.expiry.add(job)

    def prolong(self, job: Job, seconds: float) -> None:
        """Another submission joins a job that expires: the job expires when it is of no use to either."""
        max_age = job.function.policy.max_age
        age = min(seconds, max_age) if seconds and max_age else seconds or max_age
        expires_at = self.wall + age if age else 0.0
        if expires_at and expires_at <= job.expires_at:
            return
        self.expiry.leave()
        job.expires_at = expires_at
        if expires_at:
            self.expiry.add(job)
        if job.serial:
            self.save(job)

    def _expire(self, job: Job) -> None:
        """End a job that does not run and is too old."""
        text = b"expired: no worker took the job within %b s" % _in_seconds(job.expires_at - job.queued_at)
        job.function.expired += 1
        if self.notice is not None:
            self.notice(job, "expired")
        for client in job.clients:
            self._outboxes.send_end(client, EXPIRED, job.handle, text)
            client.waits_for.pop(job.handle, None)
        job.clients = []
        if job.background:
            self._conclude(job, EXPIRED, text)
        elif self.waiters.count:
            self.waiters.tell(job, EXPIRED, text)
        self.forget(job)

    def drop(self, function: Function) -> None:
        """Forget a function that no worker announces, and its jobs; clients are told that they failed.

        Its dead jobs stay: whoever put them aside may still want to know of them.
        """
        for job in [job for job in self.by_handle.values() if job.function is function]:
            self.cancel(job.handle)
        self.functions.forget(function)

    def forget(self, job: Job) -> None:
        """A job that no worker has is over: nothing of it stays."""
        if self.waiters.count:
            self.waiters.tell(job, FAIL, b"")
        if job.queued:
            self._dispatch.remove(job)
        if job.serial:
            self._ledger.end(job)
        self._unregister(job)
        if job.due:
            (self._resting if job.attempts else self._dated).cross_out(job)

    def refused(self, job: Job) -> None:
        """The commit of a new background job failed: nobody was promised anything about it."""
        job.background = False
        if self.dead.exhume(job.handle) is not None:
            return
        if not job.clients and job.worker is None:
            self.forget(job)

    def _unregister(self, job: Job) -> None:
        function = job.function
        function.total -= 1
        size = size_of(job)
        function.bytes -= size
        self.bytes -= size
        self.by_handle.remove(job)
        if job.unique:
            self._let_others_be(job)
        if job.expires_at:
            self.expiry.leave()
        if job.late_workers is not None:
            for worker in job.late_workers:
                worker.timed_out.pop(job.handle, None)
            job.late_workers = None
        handle = job.handle
        for client in job.clients:
            # A client that submitted it twice is here twice.
            if handle in client.waits_for:
                del client.waits_for[handle]

    def _let_others_be(self, job: Job) -> None:
        """Attach no more submissions to a job."""
        function = job.function
        unique = job.unique
        if unique:
            if unique != b"-":
                if function.uniques.get(unique) is job:
                    del function.uniques[unique]
            elif function.workloads.get(job.workload) is job:
                del function.workloads[job.workload]

    # The dead

    def _bury(self, job: Job) -> None:
        for oldest in self.dead.bury(job):
            if self.notice is not None:
                self.notice(oldest, "was dropped: there are too many dead ones")
            self._ledger.quarantine.release("job", oldest.handle.decode())
            self._ledger.end(oldest)

    def requeue_dead(self, handle: bytes) -> bool:
        """Give a dead job its attempts anew; false if there is none of that handle."""
        job = self.dead.get(handle)
        if job is None or not _can_run(job):
            return False
        self.dead.exhume(handle)
        self._ledger.quarantine.release("job", handle.decode())
        # Its function may have been forgotten meanwhile, and made known again as another.
        job.function = self.functions.of_job(job.function.name)
        if self.results.discard(handle):
            self._ledger.drop("result", handle.decode())
        job.attempts = job.timeouts = 0
        job.history = None
        # Whoever queues it again wants it, however old it is.
        job.expires_at = 0.0
        self._register(job, size_of(job))
        self.save(job)
        self.start(job)
        return True

    def drop_dead(self, handle: bytes) -> bool:
        """Forget a dead job; false if there is none of that handle."""
        job = self.dead.exhume(handle)
        if job is None:
            return False
        self._ledger.quarantine.release("job", handle.decode())
        self._ledger.end(job)
        return True

    # Time

    def tick(self, now: float, wall: float) -> None:
        """Time has passed: queue what is due, take back what took too long, let paced functions go on."""
        passed = max(0.0, now - self.now)
        self.now = now
        self.wall = wall
        for job in self._dated.take(wall):
            self._dispatch.queue(job, False)
        for job in self._resting.take(now):
            self._dispatch.queue(job, False)
        if self._deadlines:
            for handle in [handle for handle, deadline in self._deadlines.items() if deadline <= now]:
                late = self.by_handle.get(handle)
                if late is not None:
                    self._time_out(late)
        for expires_at, handle in self.expiry.take(wall):
            old = self.by_handle.get(handle)
            if old is not None and old.worker is None and old.expires_at == expires_at:
                self._expire(old)
        if self.expiry.is_crowded():
            self.expiry.keep([job for job in self.by_handle.values() if job.expires_at])
        self.functions.tick(passed, wall)
        if len(self.results):
            for handle in self.results.expire(wall):
                self._ledger.drop("result", handle.decode())


def _why_unusable(record: JobRecord) -> str:
    """Say why a job of a journal can't be used; empty if it can."""
    if not 0 <= record.number < LARGEST_NUMBER:
        return f"its number is {record.number}"
    if record.state not in (QUEUED, DEAD):
        return f"its state is {record.state}: a newer release may know it"
    if not 0 <= record.priority < PRIORITIES:
        return f"its priority is {record.priority}"
    if not record.function:
        return "it has no function"
    if _holds_nul(record.function, record.unique, record.reducer):
        return "the name of its function or reducer, or its unique, holds a NUL"
    if not (math.isfinite(record.due) and math.isfinite(record.queued_at)):
        return "its times are no numbers"
    if record.history:
        try:
            load_history(record.history)
        except ValueError as error:
            return str(error)
    return ""


def _can_run(job: Job) -> bool:
    return 0 <= job.number < LARGEST_NUMBER and not _holds_nul(job.function.name, job.unique, job.reducer)


def _holds_nul(*names: bytes) -> bool:
    return any(b"\0" in name for name in names)


def _in_seconds(seconds: float) -> bytes:
    return f"{seconds:.3f}".rstrip("0").rstrip(".").encode()
