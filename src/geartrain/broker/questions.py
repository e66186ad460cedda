"""How far a job is: what GET_STATUS and GET_STATUS_UNIQUE are answered."""

from __future__ import annotations

from collections.abc import Callable

from ..wire import packets as p
from ..wire.codec import response
from .jobs import Jobs
from .outbox import Outboxes
from .state import Job, Peer


class Questions:
    """Answers clients that ask about jobs."""

    def __init__(self, jobs: Jobs, outboxes: Outboxes) -> None:
        self._jobs = jobs
        self._outboxes = outboxes
        self.permits: Callable[[Peer, bytes], bool] | None = None
        """Whether a peer may know of a function's jobs; None without access rules."""

    def status(self, peer: Peer, type: int, body: bytes) -> None:
        """GET_STATUS: of the job with a handle."""
        job = self._jobs.by_handle.get(body)
        if job is None or not self._is_for(peer, job):
            self._outboxes.send(peer, response(p.STATUS_RES, body + b"\x000\x000\x000\x000"))
        else:
            self._outboxes.send(peer, response(p.STATUS_RES, body + _status_of(job)))

    def status_by_unique(self, peer: Peer, type: int, body: bytes) -> None:
        """GET_STATUS_UNIQUE: of the job with a unique, and how many clients wait for it."""
        job: Job | None = None
        if body:
            # A unique is known per function and the question names none: the first that has it answers.
            for function in self._jobs.functions.values():
                found = function.uniques.get(body)
                if found is not None and self._is_for(peer, found):
                    job = found
                    break
        if job is None:
            self._outboxes.send(peer, response(p.STATUS_RES_UNIQUE, body + b"\x000\x000\x000\x000\x000"))
        else:
            clients = b"\0%d" % len(job.clients)
            self._outboxes.send(peer, response(p.STATUS_RES_UNIQUE, body + _status_of(job) + clients))

    def _is_for(self, peer: Peer, job: Job) -> bool:
        return self.permits is None or self.permits(peer, job.function.name)


def _status_of(job: Job) -> bytes:
    """The middle of STATUS_RES and STATUS_RES_UNIQUE for a job that is known."""
    return b"\x001\x00%d\x00%d\x00%d" % (job.worker is not None, job.numerator, job.denominator)
