"""The data model of the job server: jobs, functions, peers, and what ties them together.

The life of a job:

    =========  ==================================  =========================================================
    state      where it is                         leaves it when
    =========  ==================================  =========================================================
    delayed    the calendar                        its time has come: it is queued
    queued     one of its function's three queues  a worker grabs it: running; its last client goes, or
                                                   somebody cancels it: dropped
    running    its worker's `running`              the worker ends it; the worker goes or takes too long:
                                                   queued again at the head, delayed, or dead
    dead       the dead                            somebody requeues or drops it
    =========  ==================================  =========================================================

The life of a worker (any peer that announced a function):

    =========  ====================================  =======================================================
    state      how it shows                          leaves it when
    =========  ====================================  =======================================================
    awake      none of the below                     it sends PRE_SLEEP with no work for it: asleep
    patient    `grab` holds the type of its grab     a job comes that it can do: awake, and has it; a moment
                                                     passes, or it sends anything but news of a job: awake,
                                                     answered NO_JOB
    asleep     `sleeping`, listed at its functions   a job waits that nobody was woken for: woken, with NOOP
    woken      `woken_for` names the function        it grabs, or its grace ends and another one is woken
    =========  ====================================  =======================================================

No job that may start waits while a worker that can do it is patient. A job that waits for a worker is matched
by at most one wake in flight, and while one waits unmatched no worker that can do it sleeps. A function's
`waiting` and `woken` are the two sides of that balance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mypy_extensions import mypyc_attr

from .chain import Chain, Link
from .policy import Policy

HIGH: Final = 0
NORMAL: Final = 1
LOW: Final = 2
PRIORITIES: Final = 3

# No submission that a function was found for begins with it.
_NO_HEAD: Final = b"\0"

# Shared by all jobs that nobody waits for, which background jobs are: never appended to.
_NOBODY: Final[list[Peer]] = []


@mypyc_attr(acyclic=True)
class Job(Link):
    """One job, from its submission to its end. As a link it is in one of its function's queues.

    There may be millions of them, so they are kept small, and compiled they are none of the cyclic
    collector's business: what ties them together is undone when they end.
    """

    # What most jobs never have, or get before anybody asks, is no work when one is made.

    # Who runs it; None while it is queued or delayed.
    worker: Peer | None = None
    queued: bool = False
    # Nobody wants it any more, but its worker does not know and goes on.
    cancelled: bool = False
    # Its last WORK_STATUS.
    numerator: int = 0
    denominator: int = 0
    # How many attempts came to nothing; when and why, where a policy wants to know.
    attempts: int = 0
    history: list[tuple[float, str]] | None = None
    # How many of the last attempts in a row were time-outs; the workers that may still end one of them.
    timeouts: int = 0
    late_workers: list[Peer] | None = None
    # Seconds since the epoch: when it was last assigned, and when it expires unless it runs (0: never).
    started_at: float = 0.0
    expires_at: float = 0.0

    def __init__(
        self,
        number: int,
        handle: bytes,
        function: Function,
        unique: bytes,
        workload: bytes,
        priority: int,
        background: bool,
        reducer: bytes = b"",
        queued_at: float = 0.0,
    ) -> None:
        # Its handle, and the number in it, which orders jobs by age.
        self.number = number
        self.handle = handle
        self.function = function
        # Empty: never coalesces. b"-": the workload is the unique.
        self.unique = unique
        self.workload = workload
        self.priority = priority
        # Somebody was promised that the job runs whoever stays connected.
        self.background = background
        # Who gets its events, once for each submission that it answers. See `add_client`.
        self.clients = _NOBODY
        # The reducer of a map-reduce job travels with it to the worker.
        self.reducer = reducer
        # Seconds since the epoch: when it may run (0: at once), and came.
        self.due = 0.0
        self.queued_at = queued_at
        # The batch that makes it durable; 0: none does.
        self.serial = 0

    def add_client(self, peer: Peer) -> None:
        """From now on the peer gets the job's events, once more if it does already."""
        if self.clients:
            self.clients.append(peer)
        else:
            self.clients = [peer]


class Function:
    """A name that workers announce, and its jobs."""

    def __init__(self, name: bytes, policy: Policy) -> None:
        self.name = name
        self.policy = policy
        # Jobs that may start now under the policy's rate; jobs that started since the journal was told of
        # them, and the time from which on it is told again.
        self.tokens = 0.0
        self.spent = 0
        self.told_from = 0.0
        # Jobs that expired.
        self.expired = 0
        self.queues: list[Chain] = [Chain(), Chain(), Chain()]
        # Jobs in the queues; jobs with a worker; all jobs, the delayed ones too.
        self.waiting = 0
        self.running = 0
        self.total = 0
        # Of those in the queues, how many have each priority, though most are of the normal one and not
        # counted; and of those that wait for their time, all.
        self.queued: list[int] = [0, 0, 0]
        self.delayed: list[int] = [0, 0, 0]
        # Bytes of all its jobs.
        self.bytes = 0
        # Peers that announced it, and wakes for it that were not answered by a grab yet.
        self.workers = 0
        self.woken = 0
        # The abilities of sleeping workers, last to fall asleep at the end. See `Ability.listed`.
        self.sleepers = Chain()
        # What coalesces: by unique, and for the unique b"-" by workload.
        self.uniques: dict[bytes, Job] = {}
        self.workloads: dict[bytes, Job] = {}
        # Jobs that the function may hold for a submission of each priority to be taken; 0: no limit.
        self.limits: list[int] = [0, 0, 0]
        # The broker forgot it: what comes under its name is another function's.
        self.forgotten = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be missed if it were forgotten."""
        return not (self.total or self.workers or any(self.limits))

    def demand(self) -> int:
        """How many workers it could use now: its waiting jobs, as far as its policy lets them run."""
        demand = self.waiting
        policy = self.policy
        if demand and policy.is_bounded:
            if policy.paused:
                return 0
            if policy.concurrency:
                demand = min(demand, policy.concurrency - self.running)
            if policy.rate:
                demand = min(demand, int(self.tokens))
        return demand

    def append(self, job: Job) -> bool:
        """Queue a job behind the others of its priority; return whether it is the only one."""
        priority = job.priority
        queue = self.queues[priority]
        is_only = queue.last is None
        queue.append(job)
        job.queued = True
        self.waiting += 1
        if priority != NORMAL:
            self.queued[priority] += 1
        return is_only

    def prepend(self, job: Job) -> bool:
        """Queue a job that lost its worker before the others of its priority, and return the same."""
        priority = job.priority
        queue = self.queues[priority]
        is_only = queue.last is None
        queue.prepend(job)
        job.queued = True
        self.waiting += 1
        if priority != NORMAL:
            self.queued[priority] += 1
        return is_only

    def remove(self, job: Job) -> bool:
        """Take a queued job out; return whether it was the last one of its priority."""
        priority = job.priority
        queue = self.queues[priority]
        queue.remove(job)
        job.queued = False
        self.waiting -= 1
        if priority != NORMAL:
            self.queued[priority] -= 1
        return queue.last is None

    def not_running(self, priority: int) -> int:
        """How many jobs of a priority wait, for a worker or for their time."""
        queued = self.waiting - sum(self.queued) if priority == NORMAL else self.queued[priority]
        return queued + self.delayed[priority]

    def next(self) -> Job:
        """Return the job whose turn it is; there must be one."""
        queues = self.queues
        link = queues[HIGH].first or queues[NORMAL].first or queues[LOW].first
        assert isinstance(link, Job)
        return link


@mypyc_attr(acyclic=True)
class Ability(Link):
    """One peer can do one function. As a link it is in the function's sleepers.

    A worker with a thousand abilities that goes to sleep is not put on a thousand lists each time: its
    abilities stay listed while it is awake, are dropped one by one when a wake meets them there, and only
    the dropped ones are listed again when it sleeps.
    """

    def __init__(self, peer: Peer, function: Function, rank: int, timeout: float) -> None:
        self.peer = peer
        self.function = function
        # Newer announcements have a higher rank and are served first.
        self.rank = rank
        # Seconds that a job may take; 0: no limit.
        self.timeout = timeout
        self.listed = False


class Peer:
    """One connection, as client, worker, administrator or all three at once.

    Args:
        address: where it comes from, for `workers` and the log.
        fd: its descriptor, for `workers`.
        connection: whatever the caller wants to find again when the peer's outbox is to be written.
    """

    def __init__(self, address: str = "", fd: int = -1, connection: Any = None) -> None:
        self.address = address
        self.fd = fd
        self.connection = connection
        self.connected = True
        # Who it is, for whoever checks what it may do.
        self.identity: Any = None
        # Bytes to write, in order; whoever drives the broker takes them.
        self.outbox: list[bytes] = []
        # While an acknowledgement waits for its commit: it and all that follows it; and for each commit
        # that something here waits for, its batch's serial and where the waiting begins. Last, the serial of
        # the newest commit that anything here waits or waited for.
        self.held: list[bytes] | None = None
        self.gates: list[tuple[int, int]] = []
        self.last_gate = 0
        self.held_bytes = 0
        # It reads more slowly than it is written to.
        self.is_clogged = False
        # Answers too long for one turn of the loop, each with how much of the outbox goes before it. Whoever
        # drives the broker takes them part by part, and lets what follows in the outbox wait until their end.
        self.listings: list[tuple[int, Iterator[bytes]]] = []
        self.id = b"-"
        self.wants_exceptions = False
        # Bytes of large answers to small questions since its outbox was last written.
        self.asked_for = 0
        # As a client: how its last submission without a unique began, up to the workload, and its function.
        self.last_head = _NO_HEAD
        self.last_function: Function | None = None
        # Seconds after which its next submission expires; 0: never.
        self.expires = 0.0
        # The foreground jobs it waits for, by handle, and how many others it waits for by `geartrain.result`.
        self.waits_for: dict[bytes, Job] = {}
        self.waits_for_results = 0
        # As a worker: what it can do, by function name, oldest announcement first, and what it runs.
        self.abilities: dict[bytes, Ability] = {}
        self.running: dict[bytes, Job] = {}
        # For each priority the count of arrivals at the last grab that met none of its abilities among the
        # functions with a job of it. None arrived since while the count is the same. Spares a worker with a
        # thousand abilities a look at each, beside thousands of functions with more urgent jobs.
        self.without: list[int] | None = None
        # Jobs that timed out here and wait for another worker. This one may still end them.
        self.timed_out: dict[bytes, Job] = {}
        self.sleeping = False
        # The type of a grab that waits for a job, and whether the last one got one. See `patience.py`.
        self.grab = 0
        self.had_job = False
        # Abilities that a wake dropped from their function's sleepers.
        self.unlisted: dict[Ability, None] = {}
        self.woken_for: Function | None = None
        # The broker's tick in which it was woken.
        self.woken_at = 0

    @property
    def is_idle(self) -> bool:
        """Whether it neither works nor waits for a job."""
        return not (self.abilities or self.running or self.waits_for or self.waits_for_results or self.held)
