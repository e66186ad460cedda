"""What a submission does: it is refused, joins a job that is there, or makes a new one."""

from __future__ import annotations

from collections.abc import Callable

from ..wire import packets as p
from ..wire.codec import arguments, leading_int, response_head
from .builtins import BUILTIN_PREFIX, Builtins
from .handles import Handles
from .jobs import Jobs
from .ledger import Ledger
from .limits import MAX_NAME, MAX_SUBMITTERS, MAX_UNIQUE, Limits, Refused, job_size, refuse_unread
from .outbox import Outboxes
from .state import HIGH, LOW, NORMAL, Function, Job, Peer


class Submissions:
    """Takes submissions. Each of its methods for a packet raises `Refused` to have it answered with ERROR."""

    def __init__(
        self,
        jobs: Jobs,
        ledger: Ledger,
        outboxes: Outboxes,
        handles: Handles,
        builtins: Builtins,
        limits: Limits,
    ) -> None:
        self._jobs = jobs
        self._ledger = ledger
        self._outboxes = outboxes
        self._handles = handles
        self._builtins = builtins
        self._limits = limits
        # Why no more jobs for workers are taken; empty while they are.
        self.closing = b""
        # Reads the five fields of SUBMIT_JOB_SCHED: seconds since the epoch of the next time after the
        # given one that they describe, or ValueError with a sentence. Without it the packet is refused.
        self.next_time: Callable[[list[bytes], float], float] | None = None

    def queue(self, name: bytes, workload: bytes, *, unique: bytes = b"", priority: int = NORMAL) -> Job:
        """Queue a background job on the server's own behalf, or find the one that it coalesces with.

        Raises:
            Refused: the function's name is too long, or there are too many functions.
        """
        function = self._jobs.functions.known(name)
        job = self._jobs.find(function, unique, workload)
        if job is None:
            job = self._jobs.create(
                function, unique, workload, priority, True, b"", job_size(workload, unique, b"")
            )
            if function.policy.max_age:
                self._jobs.set_expiry(job, 0.0)
            self._ledger.add(job)
            self._jobs.start(job)
        else:
            job.background = True
            if not job.serial:
                self._jobs.save(job)
        return job

    def high(self, peer: Peer, type: int, body: bytes) -> None:
        """SUBMIT_JOB_HIGH and SUBMIT_JOB_HIGH_BG."""
        self.submit(peer, body, HIGH, type == p.SUBMIT_JOB_HIGH_BG)

    def low(self, peer: Peer, type: int, body: bytes) -> None:
        """SUBMIT_JOB_LOW and SUBMIT_JOB_LOW_BG."""
        self.submit(peer, body, LOW, type == p.SUBMIT_JOB_LOW_BG)

    def submit(self, peer: Peer, body: bytes, priority: int, background: bool) -> None:
        """SUBMIT_JOB and SUBMIT_JOB_BG, and those of other priorities."""
        # Clients submit to one function again and again, most of them without a unique.
        head = peer.last_head
        if body.startswith(head):
            function = peer.last_function
            if function is not None and not function.forgotten and not self.closing:
                self._add_to(peer, function, b"", body[len(head) :], priority, background, b"", 0.0)
                return
        name, unique, workload = arguments(p.SUBMIT_JOB, body)
        self._add(peer, name, unique, workload, priority, background, b"", 0.0)

    def epoch(self, peer: Peer, type: int, body: bytes) -> None:
        """SUBMIT_JOB_EPOCH: a background job for a date."""
        name, unique, epoch, workload = arguments(type, body)
        self._add(peer, name, unique, workload, NORMAL, True, b"", float(leading_int(epoch)))

    def scheduled(self, peer: Peer, type: int, body: bytes) -> None:
        """SUBMIT_JOB_SCHED: a background job for the next time that its five fields describe."""
        name, unique, minute, hour, day_of_month, month, day_of_week, workload = arguments(type, body)
        if self.next_time is None:
            raise Refused(b"INVALID_COMMAND", b"Command not expected")
        try:
            due = self.next_time([minute, hour, day_of_month, month, day_of_week], self._jobs.wall)
        except ValueError as error:
            raise Refused(b"INVALID_ARGUMENT", str(error).encode()) from None
        self._add(peer, name, unique, workload, NORMAL, True, b"", due)

    def reduce(self, peer: Peer, type: int, body: bytes) -> None:
        """SUBMIT_REDUCE_JOB and SUBMIT_REDUCE_JOB_BACKGROUND: the reducer travels with the job."""
        # The aggregate flag is for the client library alone.
        name, unique, reducer, _aggregate, workload = arguments(type, body)
        if len(reducer) > MAX_NAME:
            raise Refused(b"ARGUMENT_TOO_LARGE", b"Reducer name too large")
        background = type == p.SUBMIT_REDUCE_JOB_BACKGROUND
        self._add(peer, name, unique, workload, NORMAL, background, reducer, 0.0)

    def _add(
        self,
        peer: Peer,
        name: bytes,
        unique: bytes,
        workload: bytes,
        priority: int,
        background: bool,
        reducer: bytes,
        due: float,
    ) -> None:
        """Answer a submission to a function of ours, or to one of the workers'."""
        if len(unique) > MAX_UNIQUE:
            raise Refused(b"ARGUMENT_TOO_LARGE", b"Unique value too large")
        if name.startswith(BUILTIN_PREFIX) and self._builtins.knows(name):
            # To the last moment: who asks how a job ended may be asking about one that a shutdown waits for.
            peer.expires = 0.0
            refuse_unread(peer)
            handle = self._handles.handle(self._handles.next_number())
            self._builtins.run(peer, handle, name, workload, background)
            return
        if self.closing:
            raise Refused(b"SHUTDOWN", self.closing)
        function = self._jobs.functions.known(name)
        if not unique:
            peer.last_head = name + b"\0\0"
            peer.last_function = function
        self._add_to(peer, function, unique, workload, priority, background, reducer, due)

    def _add_to(
        self,
        peer: Peer,
        function: Function,
        unique: bytes,
        workload: bytes,
        priority: int,
        background: bool,
        reducer: bytes,
        due: float,
    ) -> None:
        """Attach a submission to the job it coalesces with, or make and queue a new one."""
        jobs = self._jobs
        job = jobs.find(function, unique, workload) if unique else None
        is_new = job is None
        if job is None:
            limit = function.limits[priority] or function.policy.max_queue
            if limit and function.total >= limit:
                raise Refused(b"QUEUE_ERROR", b"Job queue is full")
            size = job_size(workload, unique, reducer)
            self._limits.refuse_job(size, jobs.by_handle.count, jobs.bytes, function.total, function.bytes)
            job = jobs.create(function, unique, workload, priority, background, reducer, size)
            job.due = due
            if peer.expires or function.policy.max_age:
                jobs.set_expiry(job, peer.expires)
        else:
            if job.expires_at:
                jobs.prolong(job, peer.expires)
            if background:
                job.background = True
        peer.expires = 0.0
        if background:
            if is_new:
                self._ledger.add(job)
            elif not job.serial:
                jobs.save(job)
            self._ledger.acknowledge(peer, job)
        else:
            if is_new:
                job.clients = [peer]
            elif len(job.clients) < MAX_SUBMITTERS:
                job.add_client(peer)
            else:
                raise Refused(b"QUEUE_ERROR", b"Too many clients wait for this job")
            peer.waits_for[job.handle] = job
            if peer.held is None:
                self._outboxes.send(peer, self._handles.created(job.handle))
            else:
                # In two pieces, lest it be taken for an acknowledgement when a commit fails.
                self._outboxes.send(peer, response_head(p.JOB_CREATED, len(job.handle)))
                self._outboxes.send(peer, job.handle)
        if is_new:
            jobs.start(job)
