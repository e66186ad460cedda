"""What one broker takes at most, so that no peer can make it grow without end, and how it says no."""

from __future__ import annotations

from typing import Final

from .policy import Policy
from .state import Job, Peer

JOB_COST: Final = 512
"""Bytes that a queued job takes beside its workload, about."""

MAX_UNIQUE: Final = 64
"""Bytes of a unique, as in gearmand."""
MAX_HANDLE: Final = 63
"""Bytes of a handle, as in gearmand."""
MAX_NAME: Final = 512
"""Bytes of a function's name; libgearman takes no more either."""
MAX_CLIENT_ID: Final = 127
"""Bytes of a client id; what is longer is cut, as in gearmand."""
MAX_SUBMITTERS: Final = 100_000
"""Foreground submissions that wait for one job at most."""
MAX_DEAD_BYTES: Final = 512 * 1024 * 1024
"""Bytes of all dead jobs at most."""
MAX_ANSWERS: Final = 64 * 1024 * 1024
"""Bytes of answers larger than their questions that a peer may ask for before it reads them."""


class Refused(Exception):  # noqa: N818 - it is an answer
    """What a peer asked for is not done; it gets an ERROR with this code and sentence."""

    def __init__(self, code: bytes, text: bytes) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


def refuse_unread(peer: Peer) -> None:
    """A short question may have a long answer: a peer may not gather them without reading.

    Raises:
        Refused: it has to read first.
    """
    if peer.asked_for > MAX_ANSWERS:
        raise Refused(b"LIMIT_REACHED", b"Read the answers first")


class Limits:
    """Bounds of one broker; zero means none.

    Args:
        max_jobs: jobs in all.
        max_bytes: bytes of all jobs: their workloads, uniques and reducers, and 512 for each job itself.
        max_function_jobs, max_function_bytes: the same for one function.
        max_functions: functions in all. At the limit those without jobs and workers are forgotten first.
        max_abilities: functions that one worker may announce.
        max_dead_bytes: the same as `max_bytes` for dead jobs, of which the oldest goes first.
    """

    def __init__(
        self,
        *,
        max_jobs: int = 0,
        max_bytes: int = 0,
        max_function_jobs: int = 0,
        max_function_bytes: int = 0,
        max_functions: int = 0,
        max_abilities: int = 0,
        max_dead_bytes: int = MAX_DEAD_BYTES,
    ) -> None:
        self.max_jobs = max_jobs
        self.max_bytes = max_bytes
        self.max_function_jobs = max_function_jobs
        self.max_function_bytes = max_function_bytes
        self.max_functions = max_functions
        self.max_abilities = max_abilities
        self.max_dead_bytes = max_dead_bytes

    def refuse_job(self, size: int, jobs: int, bytes: int, function_jobs: int, function_bytes: int) -> None:
        """Refuse a new job of `size` bytes if one of the bounds would be passed.

        Raises:
            Refused: with gearmand's QUEUE_ERROR; jobs that are there go on.
        """
        if (self.max_function_jobs and function_jobs >= self.max_function_jobs) or (
            self.max_function_bytes and function_bytes + size > self.max_function_bytes
        ):
            raise Refused(b"QUEUE_ERROR", b"Job queue is full")
        if (self.max_jobs and jobs >= self.max_jobs) or (self.max_bytes and bytes + size > self.max_bytes):
            raise Refused(b"QUEUE_ERROR", b"The job server is full")


def job_size(workload: bytes, unique: bytes, reducer: bytes) -> int:
    """Bytes that a job with these takes, about."""
    return len(workload) + len(unique) + len(reducer) + JOB_COST


def size_of(job: Job) -> int:
    """Bytes that a job takes, about."""
    return job_size(job.workload, job.unique, job.reducer)


class Rules:
    """How jobs are handed out, where gearmand's options change it.

    Args:
        policy: what functions begin with.
        round_robin: a function that a worker was served from comes last at its next grab.
        worker_wakeup: sleeping workers that are woken for a waiting job; 0: all.
        patient: a worker that has just done a job is not answered NO_JOB at once. Then whoever drives the
            broker has to call `answer_grabs`.
    """

    def __init__(
        self,
        *,
        policy: Policy | None = None,
        round_robin: bool = False,
        worker_wakeup: int = 1,
        patient: bool = False,
    ) -> None:
        self.policy = policy or Policy()
        self.round_robin = round_robin
        self.worker_wakeup = worker_wakeup
        self.patient = patient
