"""What must survive of the broker's state, and how it is handed to a journal: in batches.

A batch is written as a whole or not at all. While one is being written the next one gathers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .state import Job, Peer

QUEUED: Final = 0
"""A job that is to run, now or at its time."""
DEAD: Final = 1
"""A job whose attempts are used up; kept until somebody requeues or drops it."""


class JobRecord(NamedTuple):
    """A background job that has not ended.

    The number is that of its handle and orders the jobs by age; `due` (0: at once) and `queued_at` are in
    seconds since the epoch; `history` holds what became of its earlier attempts, opaque to journals.
    """

    number: int
    function: bytes
    unique: bytes
    workload: bytes
    priority: int
    due: float
    reducer: bytes
    state: int
    history: bytes
    queued_at: float


class Document(NamedTuple):
    """A small thing to keep that is not a job, such as a schedule: found again by kind and key."""

    kind: str
    key: str
    value: bytes


class Run(NamedTuple):
    """Jobs whose numbers follow one another, and that differ in nothing but unique and workload."""

    first: int
    length: int
    function: bytes
    priority: int
    reducer: bytes
    queued_at: float


class NewJobs:
    """Jobs that may run at once and that no journal has seen, in the order of their numbers.

    These are larger than those of all new jobs before. They are kept as columns, since a tuple for each would
    cost more than all else that is done for them.
    """

    def __init__(self, runs: list[Run], uniques: list[bytes], workloads: list[bytes]) -> None:
        self.runs = runs
        self.uniques = uniques
        self.workloads = workloads

    def records(self) -> list[JobRecord]:
        """The jobs one by one."""
        found: list[JobRecord] = []
        at = 0
        for first, count, function, priority, reducer, queued_at in self.runs:
            for number in range(first, first + count):
                unique = self.uniques[at]
                workload = self.workloads[at]
                found.append(
                    JobRecord(
                        number, function, unique, workload, priority, 0.0, reducer, QUEUED, b"", queued_at
                    )
                )
                at += 1
        return found


def columns(jobs: list[Job]) -> NewJobs:
    """Jobs as they are now, in the order of their numbers."""
    runs: list[Run] = []
    head: Job | None = None
    count = 0
    for job in jobs:
        if (
            head is None
            or job.number != head.number + count
            or job.function is not head.function
            or job.priority != head.priority
            or job.queued_at != head.queued_at
            or job.reducer != head.reducer
        ):
            if head is not None:
                runs.append(_run(head, count))
            head = job
            count = 0
        count += 1
    if head is not None:
        runs.append(_run(head, count))
    return NewJobs(runs, [job.unique for job in jobs], [job.workload for job in jobs])


def _run(head: Job, count: int) -> Run:
    return Run(head.number, count, head.function.name, head.priority, head.reducer, head.queued_at)


class Batch:
    """What one commit writes: jobs to save (new or again), jobs that ended, documents to put or remove."""

    def __init__(self, serial: int) -> None:
        self.serial = serial
        # Jobs that are written for the first time: those that gather, how many of these are not to be written
        # after all, and how they were when it was taken.
        self.gathered: list[Job] = []
        self.stale = 0
        self.new = NewJobs([], [], [])
        # Jobs that were written before, or come out of the order of their numbers; and the jobs behind them.
        self.again: dict[int, JobRecord] = {}
        self.jobs: dict[int, Job] = {}
        self.ended: list[int] = []
        self.documents: dict[tuple[str, str], bytes | None] = {}
        # The peers that are told nothing more until the commit is done.
        self.peers: dict[Peer, None] = {}
        # Jobs of the server's own functions that end once the batch is durable: whose, handle, result.
        self.answers: list[tuple[Peer, bytes, bytes]] = []
        # Bytes of all these, about.
        self.answers_size = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write. Peers may still wait: for jobs that ended meanwhile."""
        return not (self.gathered or self.again or self.ended or self.documents)

    @property
    def saved(self) -> dict[int, JobRecord]:
        """Every job that is saved, new or again, by number; once the batch was taken."""
        return {record.number: record for record in self.new.records()} | self.again
