"""Jobs that wait for a time: for a date, or until they have rested between two attempts."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from .state import Job


class Calendar:
    """Delayed jobs by the time at which they may run. A job's `due` is not 0 while it is in a calendar."""

    def __init__(self) -> None:
        # The number only breaks ties.
        self._entries: list[tuple[float, int, Job]] = []
        # Entries whose job is over. Each would cost a walk to take out, so they stay until there are many.
        self._crossed_out = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, time: float, job: Job) -> None:
        """Have a job wait for a time."""
        heappush(self._entries, (time, job.number, job))
        job.function.delayed[job.priority] += 1

    def take(self, until: float) -> list[Job]:
        """Take out the jobs whose time has come."""
        taken: list[Job] = []
        entries = self._entries
        while entries and entries[0][0] <= until:
            job = heappop(entries)[2]
            if job.due:
                job.due = 0.0
                job.function.delayed[job.priority] -= 1
                taken.append(job)
            else:
                self._crossed_out -= 1
        if taken:
            self._sweep()
        return taken

    def cross_out(self, job: Job) -> None:
        """A job in it is over; hold on to nothing large of it."""
        job.due = 0.0
        job.workload = b""
        job.function.delayed[job.priority] -= 1
        self._crossed_out += 1
        self._sweep()

    def remove(self, job: Job) -> None:
        """Take out a job that goes on at once; it may be added again."""
        job.due = 0.0
        job.function.delayed[job.priority] -= 1
        self._entries = [entry for entry in self._entries if entry[2] is not job]
        heapify(self._entries)

    def _sweep(self) -> None:
        """Take out what is crossed out, if that is much of what there is, or all."""
        count = len(self._entries)
        if self._crossed_out > 100 + count // 2 or self._crossed_out == count > 0:
            self._crossed_out = 0
            self._entries = [entry for entry in self._entries if entry[2].due]
            heapify(self._entries)
