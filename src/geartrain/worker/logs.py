"""A worker's log: where it goes when its program has not said, and the job that a line is about."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, TextIO, cast

import structlog
from structlog.typing import EventDict

from .job import Job
from .outcome import current_job

if TYPE_CHECKING:
    from .worker import Worker

_log = structlog.get_logger("geartrain.worker")


def keep_off_stdout() -> None:
    """Have structlog write to standard error, unless the program has configured it.

    Its own default is standard output, which is the program's.
    """
    if not structlog.is_configured():
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(cast(TextIO, _STANDARD_ERROR)))


class _StandardError:
    """Standard error as a log may use it: a terminal that closed or a full disk ends no worker."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


_STANDARD_ERROR = _StandardError()


def add_job(_: object, __: str, event: EventDict) -> EventDict:
    """A structlog processor that adds the `handle` and `function` of the job in hand, if there is one."""
    job = current_job()
    if job is not None:
        event.setdefault("function", job.function)
        event.setdefault("handle", job.handle)
    return event


def log_jobs(worker: Worker) -> None:
    """Log each job at level debug: when it begins, and how many seconds it took."""
    began: dict[Job, float] = {}

    @worker.before_job
    def begins(job: Job) -> None:
        began[job] = time.monotonic()
        _log.debug("job begins", unique=job.unique, bytes=len(job.workload))

    @worker.after_job
    def ended(job: Job) -> None:
        # A hook before ours may have refused the job.
        now = time.monotonic()
        _log.debug("job ended", seconds=round(now - began.pop(job, now), 6))
