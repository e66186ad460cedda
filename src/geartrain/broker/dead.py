"""The dead-letter queue: jobs whose attempts are used up, kept until somebody requeues or drops them."""

from __future__ import annotations

from collections.abc import ValuesView
from typing import Final

from .limits import size_of
from .state import Job

MAX_DEAD: Final = 100_000
"""Dead jobs that are kept at most; the oldest goes first."""


class Dead:
    """Dead jobs by handle, oldest first.

    Args:
        most_bytes: what they may take together, but for one that is larger than all that.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._jobs: dict[bytes, Job] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, handle: bytes) -> bool:
        return handle in self._jobs

    def get(self, handle: bytes) -> Job | None:
        """The dead job of that handle, if there is one."""
        return self._jobs.get(handle)

    def values(self) -> ValuesView[Job]:
        """Every dead job; none may come or go meanwhile."""
        return self._jobs.values()

    def bury(self, job: Job) -> list[Job]:
        """Put a job aside. Returns the oldest of those that were, if they are too many now: they are gone."""
        jobs = self._jobs
        jobs[job.handle] = job
        self._bytes += size_of(job)
        dropped: list[Job] = []
        while len(jobs) > 1 and (len(jobs) > MAX_DEAD or self._bytes > self._most_bytes):
            oldest = self.exhume(next(iter(jobs)))
            if oldest is not None:
                dropped.append(oldest)
        return dropped

    def exhume(self, handle: bytes) -> Job | None:
        """Take a job out; None if there is none of that handle."""
        job = self._jobs.pop(handle, None)
        if job is not None:
            self._bytes -= size_of(job)
        return job
