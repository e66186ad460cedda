"""The job server's decisions, as a state machine without I/O, clock, threads or chance.

Whoever drives it tells it what happened (`connect`, `receive`, `disconnect`, `tick`) and afterwards writes
the outbox of every peer in `touched`. Time comes in as an argument. The rules of a job's and a worker's life
are at the top of `state.py`; everything that changes them is in this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import MalformedPacketError
from ..wire import packets as p
from ..wire.codec import arguments, response, response_head
from .builtins import BUILTIN_PREFIX, Builtins
from .dispatch import Dispatch
from .handles import Handles
from .jobs import Jobs
from .ledger import Ledger
from .limits import (
    JOB_COST,
    MAX_ANSWERS,
    MAX_CLIENT_ID,
    MAX_HANDLE,
    MAX_NAME,
    MAX_SUBMITTERS,
    MAX_UNIQUE,
    Limits,
    Refused,
    Rules,
)
from .outbox import LARGE, Outboxes
from .records import Batch, Document, JobRecord
from .results import COMPLETE, EXCEPTION, FAIL
from .state import HIGH, LOW, NORMAL, Function, Job, Peer
from .text import answer, listing

SHORTEST_TIMEOUT: Final = 1.0
"""Seconds that a worker may give itself for a job at least, as in gearmand."""

LONG_LIST: Final = 20_000
"""Jobs from which on a list of them is answered in parts."""

# What wants a right, where there are rules.
_GUARDED: Final = frozenset(
    {
        p.SUBMIT_JOB,
        p.SUBMIT_JOB_BG,
        p.SUBMIT_JOB_HIGH,
        p.SUBMIT_JOB_HIGH_BG,
        p.SUBMIT_JOB_LOW,
        p.SUBMIT_JOB_LOW_BG,
        p.SUBMIT_JOB_EPOCH,
        p.SUBMIT_JOB_SCHED,
        p.SUBMIT_REDUCE_JOB,
        p.SUBMIT_REDUCE_JOB_BACKGROUND,
        p.CAN_DO,
        p.CAN_DO_TIMEOUT,
        p.GET_STATUS,
        p.GET_STATUS_UNIQUE,
        p.TEXT,
    }
)

_ENDS: Final[dict[int, str]] = {p.WORK_COMPLETE: COMPLETE, p.WORK_FAIL: FAIL, p.WORK_EXCEPTION: EXCEPTION}

# What a worker that waits for the answer to its grab may send meanwhile: it is not answered.
_NEWS: Final = frozenset(
    {p.WORK_COMPLETE, p.WORK_FAIL, p.WORK_EXCEPTION, p.WORK_DATA, p.WORK_WARNING, p.WORK_STATUS}
)


class Broker:
    """Jobs, functions and peers, and every rule between them.

    Args:
        host: the name in the handles, `H:host:number`.
        handle_prefix: what handles hold before their number instead of `H:host`.
        first_number: the number of the first handle. Handles stay unique across restarts if it is larger
            than any that an earlier run gave out; microseconds since the epoch are.
        now: seconds on a clock that never jumps.
        wall: seconds since the epoch.
        durable: acknowledge a background job only once the batch that holds it was committed.
        version, pid: for the text protocol's `version` and `getpid`.
        limits: what it takes at most; nothing is bounded unless told otherwise.
        rules: how jobs are handed out.
    """

    def __init__(
        self,
        host: str,
        first_number: int,
        *,
        now: float = 0.0,
        wall: float = 0.0,
        durable: bool = False,
        version: str = "0",
        pid: int = 0,
        limits: Limits | None = None,
        rules: Rules | None = None,
        handle_prefix: str = "",
    ) -> None:
        number_room = 20
        name = handle_prefix or "H:" + host
        prefix = name.encode("utf-8", "replace").replace(b"\0", b"?")[: MAX_HANDLE - 1 - number_room] + b":"
        self.version = version
        self.pid = pid

        self.peers: dict[Peer, None] = {}
        # Clogged peers, each with a worker that has just sent it something all the same.
        self.held_up: list[tuple[Peer, Peer]] = []
        # What a `shutdown` command asked for: nothing, "now" or "graceful".
        self.shutdown = ""
        # Why no more jobs are taken; empty while they are.
        self.closing = b""
        # The server ends: what its peers do from now on says nothing about their jobs.
        self.ended = False
        # Why new background jobs can't be made durable now; empty if they can.
        self.journal_trouble = ""
        # How much is logged, in gearmand's words, and who is told when a peer changes it.
        self.verbosity = b"INFO"
        self.on_verbosity: Callable[[bytes], None] | None = None

        self.limits = limits or Limits()
        rules = rules or Rules()
        self._outboxes = Outboxes()
        self._dispatch = Dispatch(
            self._outboxes,
            self._assign,
            round_robin=rules.round_robin,
            worker_wakeup=rules.worker_wakeup,
            patient=rules.patient,
        )
        self._handles = Handles(prefix, first_number)
        self._ledger = Ledger(self._handles, self._outboxes, durable)
        self.jobs = Jobs(
            self._outboxes,
            self._dispatch,
            self._ledger,
            self._handles,
            now,
            wall,
            self.limits,
            rules.policy,
        )
        self.functions = self.jobs.functions
        # Reads the five fields of SUBMIT_JOB_SCHED: seconds since the epoch of the next time after the
        # given one that they describe, or ValueError with a sentence. Without it the packet is refused.
        self.next_time: Callable[[list[bytes], float], float] | None = None
        # The functions that the server does itself.
        self.builtins = Builtins(self.jobs, self._outboxes, self._ledger)

        # Where there are rules: what may be sent, and which tokens are known. See `guard_with`.
        self._check: Callable[[Peer, int, bytes], bytes] | None = None
        self._take_token: Callable[[Peer, bytes], bool] | None = None
        self._handlers: dict[int, Callable[[Peer, int, bytes], None]] = {
            p.GRAB_JOB: self._grab,
            p.GRAB_JOB_ALL: self._grab,
            p.PRE_SLEEP: self._pre_sleep,
            p.WORK_FAIL: self._work_end,
            p.WORK_EXCEPTION: self._work_end,
            p.WORK_DATA: self._work_event,
            p.WORK_WARNING: self._work_event,
            p.WORK_STATUS: self._work_status,
            p.CAN_DO: self._can_do,
            p.CAN_DO_TIMEOUT: self._can_do_timeout,
            p.CANT_DO: self._cant_do,
            p.RESET_ABILITIES: self._reset_abilities,
            p.SET_CLIENT_ID: self._set_client_id,
            p.OPTION_REQ: self._option,
            p.ECHO_REQ: self._echo,
            p.GET_STATUS: self._get_status,
            p.GET_STATUS_UNIQUE: self._get_status_unique,
            p.SUBMIT_JOB_HIGH: self._submit_high,
            p.SUBMIT_JOB_HIGH_BG: self._submit_high,
            p.SUBMIT_JOB_LOW: self._submit_low,
            p.SUBMIT_JOB_LOW_BG: self._submit_low,
            p.SUBMIT_JOB_EPOCH: self._submit_epoch,
            p.SUBMIT_JOB_SCHED: self._submit_sched,
            p.SUBMIT_REDUCE_JOB: self._submit_reduce,
            p.SUBMIT_REDUCE_JOB_BACKGROUND: self._submit_reduce,
            p.TEXT: self._text,
            p.WRONG_WAY: self._wrong_way,
        }

    def guard_with(
        self, check: Callable[[Peer, int, bytes], bytes], take_token: Callable[[Peer, bytes], bool]
    ) -> None:
        """Have what peers ask for checked from now on.

        Args:
            check: says why a peer may not send a packet of those that want a right; empty if it may.
            take_token: takes a token that a peer sent as an option; says whether it is known.
        """
        self._check = check
        self._take_token = take_token

    # What happens

    @property
    def touched(self) -> list[Peer]:
        """The peers whose outbox has something to write."""
        return self._outboxes.touched

    def take_touched(self) -> list[Peer]:
        """Hand out `touched`; whoever takes it writes and empties their outboxes."""
        touched = self._outboxes.touched
        self._outboxes.touched = []
        return touched

    @property
    def needs_attention(self) -> bool:
        """Whether there is something to see to besides `touched`.

        That is `commit_is_due`, `shutdown` or `grabs_wait`.
        """
        return self._ledger.is_due or self._dispatch.patience.wants_timing or bool(self.shutdown)

    def connect(self, peer: Peer) -> None:
        """A connection was accepted."""
        self.peers[peer] = None

    def receive(self, peer: Peer, type: int, body: bytes) -> None:
        """A connected peer sent a packet or, with the type `TEXT`, a line."""
        if peer.grab and type not in _NEWS:
            # Answers keep their order.
            self._dispatch.patience.end(peer)
        try:
            if self._check is not None and type in _GUARDED and (reason := self._check(peer, type, body)):
                if type != p.TEXT:
                    raise Refused(b"ACCESS_DENIED", reason)
                self._outboxes.send(peer, b"ERR ACCESS_DENIED " + reason.replace(b" ", b"+") + b"\r\n")
                return
            # What nearly every packet is, without a way through the table.
            if type == p.SUBMIT_JOB_BG:
                self._submit(peer, body, NORMAL, True)
            elif type == p.SUBMIT_JOB:
                self._submit(peer, body, NORMAL, False)
            elif type == p.WORK_COMPLETE:
                self._work_end(peer, type, body)
            elif type == p.GRAB_JOB_UNIQ:
                self._grab(peer, type, body)
            else:
                self._receive_other(peer, type, body)
        except MalformedPacketError as error:
            self._error(peer, b"INVALID_PACKET", str(error).encode())
        except Refused as refused:
            self._error(peer, refused.code, refused.text)

    def _receive_other(self, peer: Peer, type: int, body: bytes) -> None:
        handler = self._handlers.get(type)
        if handler is None:
            # gearmand's own two sentences: for a type that is known but has no use here (ALL_YOURS is
            # refused, too), and for one that nobody knows.
            known = type in p.PACKETS
            self._error(
                peer, b"INVALID_COMMAND", b"Command not expected" if known else b"Invalid command expected"
            )
            return
        handler(peer, type, body)

    def disconnect(self, peer: Peer) -> None:
        """A connection is gone: its jobs go back to their queues, those only it waited for are dropped."""
        del self.peers[peer]
        peer.connected = False
        peer.outbox = []
        peer.held = None
        peer.gates = []
        peer.sleeping = False
        self._dispatch.patience.leave(peer)
        # As a client first, so that nothing that follows is told to it.
        self.jobs.waiters.leave(peer)
        for job in list(peer.waits_for.values()):
            job.clients = [client for client in job.clients if client is not peer]
            if not job.clients and not job.background and job.worker is None:
                self.jobs.forget(job)
        peer.waits_for.clear()
        self._dispatch.withdraw_all(peer)
        if self.ended:
            return  # It is not the worker that is lost, so its attempt does not count.
        # The newest first, each to the head of its queue: the oldest ends up foremost.
        for job in reversed(list(peer.running.values())):
            self.jobs.give_back(job, "worker lost")

    def tick(self, now: float, wall: float) -> None:
        """Time has passed: `now` on the clock that never jumps, `wall` in seconds since the epoch.

        Queues the delayed jobs that are due, takes jobs from workers whose time is over, and passes on the
        wakes of workers that let a whole tick go by. Call it several times a second.
        """
        self.jobs.tick(now, wall)
        self._dispatch.tick()

    @property
    def grabs_wait(self) -> bool:
        """Whether a grab waits for a job and nobody has begun to call `answer_grabs`."""
        return self._dispatch.patience.wants_timing

    def time_grabs(self) -> None:
        """Whoever drives the broker calls `answer_grabs` at an interval from now on."""
        self._dispatch.patience.start_timing()

    def answer_grabs(self) -> bool:
        """Answer NO_JOB to the grabs that have waited for at least one interval between two calls.

        Returns whether others still wait; if not, `grabs_wait` says when to begin anew.
        """
        return self._dispatch.patience.expire()

    def close(self, *, hand_out: bool) -> None:
        """Take no more jobs, and hand out those that are there no more either unless `hand_out`."""
        self.closing = b"The job server is shutting down"
        self._dispatch.paused = not hand_out

    @property
    def running(self) -> int:
        """How many jobs run."""
        return sum([function.running for function in self.functions.values()])

    # What the configuration says

    def configure(self, functions: Mapping[str, Mapping[str, Any]]) -> None:
        """Settings of functions by name, all of them, in the words of `Policy.update`.

        What was set at run time goes before them.

        Raises:
            ValueError: a setting can't be understood; then nothing was changed.
        """
        jobs = self.jobs
        for name in jobs.policies.configure({name.encode(): functions[name] for name in functions}):
            jobs.apply_policy(name)

    # What survives

    def restore(self, record: JobRecord) -> None:
        """Take up a job that a journal kept. Called before the first peer connects, oldest job first."""
        self.jobs.restore(record)

    def restore_document(self, document: Document) -> None:
        """Take up a document that a journal kept; called before `restore`."""
        self.jobs.restore_document(document)

    def keep(self, document: Document) -> None:
        """Make a document durable with the next commit."""
        self._ledger.keep(document)

    def forget_document(self, kind: str, key: str) -> None:
        """Remove a document with the next commit."""
        self._ledger.drop(kind, key)

    @property
    def commit_is_due(self) -> bool:
        """Whether there is a batch to write and none being written."""
        return self._ledger.is_due

    def take_batch(self) -> Batch:
        """Hand out what is to be written. Exactly one of `committed` and `refused` must follow."""
        return self._ledger.take()

    def committed(self) -> None:
        """The batch that was taken is durable: those who wait for it are told."""
        self._ledger.committed()

    def refused(self, reason: str) -> set[bytes]:
        """The batch that was taken could not be written: the submissions in it are answered QUEUE_ERROR.

        Returns their handles.
        """
        jobs = self._ledger.refused(reason.encode())
        for job in jobs:
            self.jobs.refused(job)
        return {job.handle for job in jobs}

    # Submitting

    def submit(
        self, name: bytes, workload: bytes, *, unique: bytes = b"", priority: int = NORMAL, due: float = 0.0
    ) -> Job:
        """Queue a background job on the server's own behalf, or find the one that it coalesces with.

        Raises:
            Refused: the function's name is too long, or there are too many functions.
        """
        function = self.jobs.function(name)
        job = self.jobs.find(function, unique, workload)
        if job is None:
            job = self.jobs.create(function, unique, workload, priority, True)
            job.due = due
            self.jobs.save(job)
            self.jobs.start(job)
        else:
            job.background = True
            if not job.serial:
                self.jobs.save(job)
        return job

    def _submit_high(self, peer: Peer, type: int, body: bytes) -> None:
        self._submit(peer, body, HIGH, type == p.SUBMIT_JOB_HIGH_BG)

    def _submit_low(self, peer: Peer, type: int, body: bytes) -> None:
        self._submit(peer, body, LOW, type == p.SUBMIT_JOB_LOW_BG)

    def _submit(self, peer: Peer, body: bytes, priority: int, background: bool) -> None:
        # Clients submit to one function again and again, most of them without a unique.
        if body.startswith(peer.last_head):
            function = peer.last_function
            if function is not None and not function.forgotten and not self.closing:
                workload = body[len(peer.last_head) :]
                self._add_to(peer, function, b"", workload, priority, background, b"", 0.0)
                return
        name, unique, workload = arguments(p.SUBMIT_JOB, body)
        self._add(peer, name, unique, workload, priority, background, b"", 0.0)

    def _submit_epoch(self, peer: Peer, type: int, body: bytes) -> None:
        name, unique, epoch, workload = arguments(type, body)
        self._add(peer, name, unique, workload, NORMAL, True, b"", float(_leading_int(epoch)))

    def _submit_sched(self, peer: Peer, type: int, body: bytes) -> None:
        name, unique, minute, hour, day_of_month, month, day_of_week, workload = arguments(type, body)
        if self.next_time is None:
            self._error(peer, b"INVALID_COMMAND", b"Command not expected")
            return
        try:
            due = self.next_time([minute, hour, day_of_month, month, day_of_week], self.jobs.wall)
        except ValueError as error:
            self._error(peer, b"INVALID_ARGUMENT", str(error).encode())
            return
        self._add(peer, name, unique, workload, NORMAL, True, b"", due)

    def _submit_reduce(self, peer: Peer, type: int, body: bytes) -> None:
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
        if self.closing:
            raise Refused(b"SHUTDOWN", self.closing)
        if name.startswith(BUILTIN_PREFIX) and self.builtins.knows(name):
            self._ask_for_more(peer)
            handle = self._handles.handle(self._handles.next_number())
            self.builtins.run(peer, handle, name, workload, background)
            return
        function = self.jobs.function(name)
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
        jobs = self.jobs
        job = jobs.find(function, unique, workload)
        is_new = job is None
        if job is None:
            limit = function.limits[priority] or function.policy.max_queue
            if limit and function.total >= limit:
                raise Refused(b"QUEUE_ERROR", b"Job queue is full")
            size = len(workload) + len(unique) + len(reducer) + JOB_COST
            self.limits.refuse_job(size, len(jobs.by_handle), jobs.bytes, function.total, function.bytes)
            job = jobs.create(function, unique, workload, priority, background, reducer)
            job.due = due
        elif background:
            job.background = True
        if background:
            if not job.serial:
                jobs.save(job)
            self._ledger.acknowledge(peer, job)
        else:
            if len(job.clients) >= MAX_SUBMITTERS:
                raise Refused(b"QUEUE_ERROR", b"Too many clients wait for this job")
            job.add_client(peer)
            peer.waits_for[job.handle] = job
            if peer.held is None:
                self._outboxes.send(peer, self._handles.created(job.handle))
            else:
                # In two pieces, lest it be taken for an acknowledgement when a commit fails.
                self._outboxes.send(peer, response_head(p.JOB_CREATED, len(job.handle)))
                self._outboxes.send(peer, job.handle)
        if is_new:
            jobs.start(job)

    # Working

    def _pre_sleep(self, peer: Peer, type: int, body: bytes) -> None:
        self._dispatch.sleep(peer)

    def _grab(self, peer: Peer, type: int, body: bytes) -> None:
        dispatch = self._dispatch
        peer.sleeping = False
        woken_for = dispatch.settle(peer)
        function = dispatch.choose(peer)
        if function is None:
            dispatch.patience.wait(peer, type)
        else:
            self._assign(peer, function, type)
        if woken_for is not None:
            # It may have been woken for one thing and have taken another.
            dispatch.rebalance(woken_for)

    def _assign(self, peer: Peer, function: Function, type: int) -> None:
        """Give a grabbing worker the function's next job."""
        peer.had_job = True
        job = self.jobs.assign(peer, function)
        if type == p.GRAB_JOB:
            kind = p.JOB_ASSIGN
            names = b"%b\0%b\0" % (job.handle, function.name)
        elif type == p.GRAB_JOB_ALL and job.reducer:
            kind = p.JOB_ASSIGN_ALL
            names = b"%b\0%b\0%b\0%b\0" % (job.handle, function.name, job.unique, job.reducer)
        else:
            kind = p.JOB_ASSIGN_UNIQ
            names = b"%b\0%b\0%b\0" % (job.handle, function.name, job.unique)
        workload = job.workload
        head = response_head(kind, len(names) + len(workload))
        if len(workload) < LARGE:
            self._outboxes.send(peer, b"%b%b%b" % (head, names, workload))
        else:
            self._outboxes.send(peer, head + names)
            self._outboxes.send(peer, workload)

    def _work_end(self, peer: Peer, type: int, body: bytes) -> None:
        """WORK_COMPLETE, WORK_FAIL and WORK_EXCEPTION: tell the clients, forget the job."""
        # Handles are nearly always of one length, so that none has to be looked for its end.
        length = self._handles.length
        handle = body[:length]
        job = peer.running.get(handle) if len(body) > length and not body[length] else None
        if job is None:
            if type != p.WORK_FAIL:
                body = _with_last_argument(body)
            handle = body if type == p.WORK_FAIL else arguments(type, body)[0]
            job = peer.running.get(handle)
        if job is None:
            self._job_not_found(
                peer,
                b"An exception was received for a job that does not exist"
                if type == p.WORK_EXCEPTION
                else b"Job given in work result not found",
            )
            return
        if type == p.WORK_EXCEPTION:
            for client in job.clients:
                if client.wants_exceptions:
                    self._outboxes.send_body(client, p.WORK_EXCEPTION, body)
                else:
                    self._outboxes.send(client, response(p.WORK_FAIL, handle))
        else:
            for client in job.clients:
                self._outboxes.send_body(client, type, body)
                if client.is_clogged:
                    self.held_up.append((client, peer))
        self.jobs.end(job, _ENDS[type], body)

    def _work_event(self, peer: Peer, type: int, body: bytes) -> None:
        """WORK_DATA and WORK_WARNING: pass them to the clients."""
        body = _with_last_argument(body)
        job = peer.running.get(arguments(type, body)[0])
        if job is None:
            self._job_not_found(peer, b"Job does not exist on server")
            return
        for client in job.clients:
            self._outboxes.send_body(client, type, body)
            if client.is_clogged:
                self.held_up.append((client, peer))

    def _work_status(self, peer: Peer, type: int, body: bytes) -> None:
        handle, numerator, denominator = arguments(type, body)
        job = peer.running.get(handle)
        if job is None:
            self._job_not_found(peer, b"Job given in work result not found")
            return
        job.numerator = _leading_int(numerator)
        job.denominator = _leading_int(denominator)
        for client in job.clients:
            self._outboxes.send(client, response(p.WORK_STATUS, body))
            if client.is_clogged:
                self.held_up.append((client, peer))

    # Abilities

    def _can_do(self, peer: Peer, type: int, body: bytes) -> None:
        self._announce(peer, body, 0.0)

    def _can_do_timeout(self, peer: Peer, type: int, body: bytes) -> None:
        # Milliseconds and one second at least, as gearmand has it; the protocol's page says seconds.
        name, milliseconds = arguments(type, body)
        timeout = _leading_int(milliseconds) / 1000
        timeout = max(timeout, SHORTEST_TIMEOUT) if timeout > 0 else 0.0
        self._announce(peer, name, timeout)

    def _announce(self, peer: Peer, name: bytes, timeout: float) -> None:
        most = self.limits.max_abilities
        if most and len(peer.abilities) >= most and name not in peer.abilities:
            raise Refused(b"LIMIT_REACHED", b"A worker may not announce so many functions")
        self._dispatch.announce(peer, self.jobs.function(name), timeout)

    def _cant_do(self, peer: Peer, type: int, body: bytes) -> None:
        self._dispatch.withdraw(peer, body)

    def _reset_abilities(self, peer: Peer, type: int, body: bytes) -> None:
        self._dispatch.withdraw_all(peer)

    # Questions and small talk

    def _get_status(self, peer: Peer, type: int, body: bytes) -> None:
        job = self.jobs.by_handle.get(body)
        if job is None:
            self._outboxes.send(peer, response(p.STATUS_RES, body + b"\x000\x000\x000\x000"))
        else:
            self._outboxes.send(peer, response(p.STATUS_RES, body + _status_of(job)))

    def _get_status_unique(self, peer: Peer, type: int, body: bytes) -> None:
        job: Job | None = None
        if body:
            # A unique is known per function and the question names none: the first that has it answers.
            for function in self.functions.values():
                job = function.uniques.get(body)
                if job is not None:
                    break
        if job is None:
            self._outboxes.send(peer, response(p.STATUS_RES_UNIQUE, body + b"\x000\x000\x000\x000\x000"))
        else:
            clients = b"\0%d" % len(job.clients)
            self._outboxes.send(peer, response(p.STATUS_RES_UNIQUE, body + _status_of(job) + clients))

    def _set_client_id(self, peer: Peer, type: int, body: bytes) -> None:
        peer.id = body[:MAX_CLIENT_ID]

    def _option(self, peer: Peer, type: int, body: bytes) -> None:
        if body.lower() == b"exceptions":
            peer.wants_exceptions = True
            self._outboxes.send(peer, response(p.OPTION_RES, body))
        elif body[:6].lower() == b"token=":
            # Without rules there is nothing that a token could open.
            if self._take_token is not None and not self._take_token(peer, body[6:]):
                raise Refused(b"ACCESS_DENIED", b"Nobody has this token")
            self._outboxes.send(peer, response(p.OPTION_RES, b"token"))
        else:
            self._error(peer, b"UNKNOWN_OPTION", b"Server does not recognize given option")

    def _echo(self, peer: Peer, type: int, body: bytes) -> None:
        self._outboxes.send_body(peer, p.ECHO_RES, body)

    def _text(self, peer: Peer, type: int, body: bytes) -> None:
        try:
            self._ask_for_more(peer)
            told = answer(self, body) if len(self.jobs) < LONG_LIST else self._list(peer, body)
        except Refused as error:
            told = b"ERR %b %b\r\n" % (error.code, error.text.replace(b" ", b"+"))
        peer.asked_for += len(told)
        self._outboxes.send(peer, told)

    def _list(self, peer: Peer, line: bytes) -> bytes:
        """The answer to a line; nothing yet if making it would take too long at once."""
        if peer.held is None and (parts := listing(self, line.split())) is not None:
            peer.listings.append((len(peer.outbox) + 1, parts))
            return b""
        return answer(self, line)

    def _ask_for_more(self, peer: Peer) -> None:
        """A short question may have a long answer: a peer may not gather them without reading.

        Raises:
            Refused: it has to read first.
        """
        if peer.asked_for > MAX_ANSWERS:
            raise Refused(b"LIMIT_REACHED", b"Read the answers first")

    def _wrong_way(self, peer: Peer, type: int, body: bytes) -> None:
        self._error(peer, b"INVALID_MAGIC", b"Request magic expected")

    def _error(self, peer: Peer, code: bytes, text: bytes) -> None:
        if peer.grab:
            self._dispatch.patience.end(peer)
        self._outboxes.send(peer, response(p.ERROR, code + b"\0" + text))

    def _job_not_found(self, peer: Peer, text: bytes) -> None:
        self._error(peer, b"JOB_NOT_FOUND", text)


def _status_of(job: Job) -> bytes:
    """The middle of STATUS_RES and STATUS_RES_UNIQUE for a job that is known."""
    return b"\x001\x00%d\x00%d\x00%d" % (job.worker is not None, job.numerator, job.denominator)


def _leading_int(text: bytes) -> int:
    """The number that a text begins with, 0 if none does, as C's atoi reads it."""
    text = text.strip()[:20]
    end = 1 if text[:1] in (b"-", b"+") else 0
    while end < len(text) and 48 <= text[end] <= 57:
        end += 1
    try:
        return int(text[:end])
    except ValueError:
        return 0


def _with_last_argument(body: bytes) -> bytes:
    """What is told about a job, after its handle; Perl's Gearman::Worker leaves what is empty out."""
    return body if b"\0" in body else body + b"\0"
