"""What must survive of the broker's state, and how it is handed to a journal: in batches.

A batch is written as a whole or not at all. While one is being written the next one gathers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
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


class Batch:
    """What one commit writes: jobs to save (new or again), jobs that ended, documents to put or remove."""

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.saved: dict[int, JobRecord] = {}
        self.ended: list[int] = []
        self.documents: dict[tuple[str, str], bytes | None] = {}
        # The jobs behind `saved`, and the peers that are told nothing more until the commit is done.
        self.jobs: dict[int, Job] = {}
        self.peers: dict[Peer, None] = {}
        # Jobs of the server's own functions that end once the batch is durable: whose, handle, result.
        self.answers: list[tuple[Peer, bytes, bytes]] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write. Peers may still wait: for jobs that ended meanwhile."""
        return not (self.saved or self.ended or self.documents)
