"""When jobs expire: queued or delayed ones that nobody wants any more after a time."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from .state import Job

SLACK = 1000
"""Entries of jobs that have ended, kept beside those of live ones before all are sorted out."""


class Expiry:
    """Handles of jobs by the time at which they expire, in seconds since the epoch.

    Only handles are kept here, so that the workload of a job that has ended goes at once.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[float, bytes]] = []
        # Jobs among them that have not ended.
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, job: Job) -> None:
        """Have a job expire at its time."""
        heappush(self._entries, (job.expires_at, job.handle))
        self._live += 1

    def add_again(self, job: Job) -> None:
        """Have a job expire that ran when its time came, or the clock said so."""
        heappush(self._entries, (job.expires_at, job.handle))

    def leave(self) -> None:
        """Count one job less: it ended before its time."""
        self._live -= 1

    def is_crowded(self) -> bool:
        """Return whether most entries are of jobs that have ended."""
        return len(self._entries) > 2 * self._live + SLACK

    def keep(self, jobs: list[Job]) -> None:
        """Forget the entries of all jobs but these."""
        self._entries = [(job.expires_at, job.handle) for job in jobs]
        heapify(self._entries)

    def take(self, wall: float) -> list[tuple[float, bytes]]:
        """Take out the times and handles whose time has come.

        Some are of jobs that ended, or that expire at another time by now.
        """
        taken: list[tuple[float, bytes]] = []
        while self._entries and self._entries[0][0] <= wall:
            taken.append(heappop(self._entries))
        return taken
