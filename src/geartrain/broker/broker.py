"""The job server's decisions, as a state machine without I/O, clock, threads or chance.

Whoever drives it tells it what happened (`connect`, `receive`, `disconnect`, `tick`) and afterwards writes
the outbox of every peer in `outboxes.touched`. Time comes in as an argument. The rules of a job's and a
worker's life are at the top of `state.py`; what each packet does is here, in `submissions.py` and in
`work.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import MalformedPacketError, PacketTooLargeError
from ..units import parse_seconds
from ..wire import packets as p
from ..wire.codec import response
from ..wire.parser import read_oversized
from .builtins import Builtins
from .dispatch import Dispatch
from .functions import Functions
from .handles import Handles
from .jobs import Jobs
from .ledger import Ledger
from .limits import (
    MAX_CLIENT_ID,
    MAX_HANDLE,
    Limits,
    Refused,
    Rules,
    refuse_unread,
)
from .outbox import Outboxes
from .quarantine import Quarantine
from .questions import Questions
from .records import Batch, Document, JobRecord
from .state import NORMAL, Peer
from .submissions import Submissions
from .text import answer, listing
from .work import Work

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
        cut = name.encode("utf-8", "replace").replace(b"\0", b"?")[: MAX_HANDLE - 1 - number_room]
        # Handles are decoded for the log: no character may be cut in two.
        prefix = cut.decode("utf-8", "ignore").encode() + b":"
        self.version = version
        self.pid = pid

        self.peers: dict[Peer, None] = {}
        # What a `shutdown` command asked for: nothing, "now" or "graceful".
        self.shutdown = ""
        # The server ends: what its peers do from now on says nothing about their jobs.
        self.ended = False
        # Why new background jobs can't be made durable now; empty if they can.
        self.journal_trouble = ""
        # How much is logged, in gearmand's words, and who is told when a peer changes it.
        self.verbosity = b"INFO"
        self.on_verbosity: Callable[[bytes], None] | None = None

        self.limits = limits or Limits()
        rules = rules or Rules()
        # What is told, and to whom: for who looks after each chunk whether there is anything to write.
        self.outboxes = Outboxes()
        self._dispatch = Dispatch(
            self.outboxes,
            round_robin=rules.round_robin,
            worker_wakeup=rules.worker_wakeup,
            patient=rules.patient,
        )
        self._patience = self._dispatch.patience
        self._handles = Handles(prefix, first_number)
        self._ledger = Ledger(self._handles, self.outboxes, durable)
        self.functions = Functions(self._dispatch, self._ledger, self.limits.max_functions, rules.policy)
        self.jobs = Jobs(
            self.outboxes,
            self._dispatch,
            self._ledger,
            self._handles,
            self.functions,
            now,
            wall,
            self.limits,
        )
        # The functions that the server does itself.
        self.builtins = Builtins(self.jobs, self.outboxes, self._ledger)
        self.submissions = submissions = Submissions(
            self.jobs, self._ledger, self.outboxes, self._handles, self.builtins, self.limits
        )
        self._work = work = Work(self.jobs, self._dispatch, self.outboxes, self._handles, self.limits)
        self.questions = questions = Questions(self.jobs, self.outboxes)

        # Where there are rules: what may be sent, and which tokens are known. See `guard_with`.
        self._check: Callable[[Peer, int, bytes], bytes] | None = None
        self._take_token: Callable[[Peer, bytes], bool] | None = None
        self._handlers: dict[int, Callable[[Peer, int, bytes], None]] = {
            p.OVERSIZED: self._oversized,
            p.GRAB_JOB: work.grab,
            p.GRAB_JOB_ALL: work.grab,
            p.PRE_SLEEP: work.pre_sleep,
            p.WORK_FAIL: work.end,
            p.WORK_EXCEPTION: work.end,
            p.WORK_DATA: work.event,
            p.WORK_WARNING: work.event,
            p.WORK_STATUS: work.status,
            p.CAN_DO: work.can_do,
            p.CAN_DO_TIMEOUT: work.can_do_timeout,
            p.CANT_DO: work.cant_do,
            p.RESET_ABILITIES: work.reset_abilities,
            p.SET_CLIENT_ID: self._set_client_id,
            p.OPTION_REQ: self._option,
            p.ECHO_REQ: self._echo,
            p.GET_STATUS: questions.status,
            p.GET_STATUS_UNIQUE: questions.status_by_unique,
            p.SUBMIT_JOB_HIGH: submissions.high,
            p.SUBMIT_JOB_HIGH_BG: submissions.high,
            p.SUBMIT_JOB_LOW: submissions.low,
            p.SUBMIT_JOB_LOW_BG: submissions.low,
            p.SUBMIT_JOB_EPOCH: submissions.epoch,
            p.SUBMIT_JOB_SCHED: submissions.scheduled,
            p.SUBMIT_REDUCE_JOB: submissions.reduce,
            p.SUBMIT_REDUCE_JOB_BACKGROUND: submissions.reduce,
            p.TEXT: self._text,
            p.WRONG_WAY: self._wrong_way,
        }

    def guard_with(
        self,
        check: Callable[[Peer, int, bytes], bytes],
        take_token: Callable[[Peer, bytes], bool],
        may_know: Callable[[Peer, bytes], bool],
        may_ask_of: Callable[[Peer, bytes], bool],
    ) -> None:
        """Have what peers ask for checked from now on.

        Args:
            check: says why a peer may not send a packet of those that want a right; empty if it may.
            take_token: takes a token that a peer sent as an option; says whether it is known.
            may_know: says whether a peer may know of the jobs of a function.
            may_ask_of: says whether a peer may know how the job with a handle ended.
        """
        self._check = check
        self._take_token = take_token
        self.questions.permits = may_know
        self.builtins.permits = may_ask_of

    # What happens

    @property
    def needs_attention(self) -> bool:
        """Whether there is something to see to besides `outboxes.touched`.

        That is `commit_is_due`, `shutdown` or `grabs_wait`.
        """
        # Asked after every chunk, so what can't be is not asked for.
        ledger = self._ledger
        patience = self._patience
        return bool(
            (ledger.durable and ledger.is_due) or (patience.peers and patience.wants_timing) or self.shutdown
        )

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
                self.outboxes.send(peer, b"ERR ACCESS_DENIED " + reason.replace(b" ", b"+") + b"\r\n")
                return
            # What nearly every packet is, without a way through the table.
            if type == p.SUBMIT_JOB_BG:
                self.submissions.submit(peer, body, NORMAL, True)
            elif type == p.SUBMIT_JOB:
                self.submissions.submit(peer, body, NORMAL, False)
            elif type == p.WORK_COMPLETE:
                self._work.end(peer, type, body)
            elif type == p.GRAB_JOB_UNIQ:
                self._work.grab(peer, type, body)
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
        if peer.timed_out:
            self.jobs.leave_late(peer)
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
        self.submissions.closing = b"The job server is shutting down"
        self._dispatch.paused = not hand_out

    def has_part_in_running(self, peer: Peer) -> bool:
        """Whether a peer runs a job, or waits for one that runs, or for a commit."""
        if peer.running or peer.held or any(job.worker for job in peer.waits_for.values()):
            return True
        asked_for = [self.jobs.by_handle.get(handle) for handle in self.jobs.waiters.asked_by(peer)]
        return any(job is not None and job.worker is not None for job in asked_for)

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
        self.functions.configure({name.encode(): functions[name] for name in functions})

    # What survives

    def restore(self, record: JobRecord) -> None:
        """Take up a job that a journal kept. Called before the first peer connects, oldest job first."""
        self.jobs.restore(record)

    def restore_document(self, document: Document) -> None:
        """Take up a document that a journal kept; called before `restore`."""
        self.jobs.restore_document(document)

    @property
    def quarantine(self) -> Quarantine:
        """What was kept and can't be used."""
        return self._ledger.quarantine

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

    def waits_for_commit(self, handle: bytes) -> bool:
        """Whether a job is there that is not durable yet, and is to be."""
        job = self.jobs.by_handle.get(handle) or self.jobs.dead.get(handle)
        return job is not None and self._ledger.is_unwritten(job)

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

    def tell(self, peer: Peer, data: bytes) -> None:
        """Send a peer what its driver has to say, behind all that it is told before."""
        self.outboxes.send(peer, data)

    def _oversized(self, peer: Peer, type: int, body: bytes) -> None:
        """Answer a packet about a job that was over the limit; its body was skipped."""
        packet = read_oversized(body)
        if packet.type in p.UNANSWERED:
            self._work.oversized(peer, packet)
        else:
            text = str(PacketTooLargeError(packet.size, packet.limit))
            self._error(peer, b"ARGUMENT_TOO_LARGE", text.encode())

    # Small talk

    def _set_client_id(self, peer: Peer, type: int, body: bytes) -> None:
        peer.id = body[:MAX_CLIENT_ID]

    def _option(self, peer: Peer, type: int, body: bytes) -> None:
        if body.lower() == b"exceptions":
            peer.wants_exceptions = True
            self.outboxes.send(peer, response(p.OPTION_RES, body))
        elif body[:6].lower() == b"token=":
            # Without rules there is nothing that a token could open.
            if self._take_token is not None and not self._take_token(peer, body[6:]):
                raise Refused(b"ACCESS_DENIED", b"Nobody has this token")
            self.outboxes.send(peer, response(p.OPTION_RES, b"token"))
        elif body.startswith(b"expires="):
            peer.expires = _seconds_of(body[8:])
            self.outboxes.send(peer, response(p.OPTION_RES, b"expires"))
        elif body.startswith(b"withdraw="):
            self.jobs.withdraw(peer, body[9:])
            self.outboxes.send(peer, response(p.OPTION_RES, b"withdraw"))
        else:
            self._error(peer, b"UNKNOWN_OPTION", b"Server does not recognize given option")

    def _echo(self, peer: Peer, type: int, body: bytes) -> None:
        self.outboxes.send_body(peer, p.ECHO_RES, body)

    def _text(self, peer: Peer, type: int, body: bytes) -> None:
        try:
            refuse_unread(peer)
            told = answer(self, body) if len(self.jobs) < LONG_LIST else self._list(peer, body)
        except Refused as error:
            told = b"ERR %b %b\r\n" % (error.code, error.text.replace(b" ", b"+"))
        peer.asked_for += len(told)
        self.outboxes.send(peer, told)

    def _list(self, peer: Peer, line: bytes) -> bytes:
        """The answer to a line; nothing yet if making it would take too long at once."""
        parts = listing(self, line.split())
        if parts is None:
            return answer(self, line)
        if peer.held is not None:
            raise Refused(b"LIMIT_REACHED", b"Too long a list behind what waits for the journal")
        peer.listings.append((len(peer.outbox) + 1, parts))
        return b""

    def _wrong_way(self, peer: Peer, type: int, body: bytes) -> None:
        self._error(peer, b"INVALID_MAGIC", b"Request magic expected")

    def _error(self, peer: Peer, code: bytes, text: bytes) -> None:
        # What was asked for the next submission does not hold for the one after a refused one.
        peer.expires = 0.0
        if peer.grab:
            self._dispatch.patience.end(peer)
        self.outboxes.send(peer, response(p.ERROR, code + b"\0" + text))


def _seconds_of(text: bytes) -> float:
    try:
        return parse_seconds(text.decode("ascii"))
    except ValueError as error:
        raise Refused(b"INVALID_ARGUMENT", str(error).encode("utf-8", "replace")) from None
