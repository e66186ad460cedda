"""A worker's log: where it goes when its program has not said, and the job that a line is about."""

from __future__ import annotations

import sys

import structlog
from structlog.typing import EventDict

from .outcome import current_job


def keep_off_stdout() -> None:
    """Have structlog write to standard error, unless the program has configured it.

    Its own default is standard output, which is the program's.
    """
    if not structlog.is_configured():
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def add_job(_: object, __: str, event: EventDict) -> EventDict:
    """A structlog processor that adds the `handle` and `function` of the job in hand, if there is one."""
    job = current_job()
    if job is not None:
        event.setdefault("function", job.function)
        event.setdefault("handle", job.handle)
    return event
