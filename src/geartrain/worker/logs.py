"""A worker's log: its default destination, and the running job of each line."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict

from .outcome import current_job


def keep_off_stdout() -> None:
    """Make structlog write to standard error, unless the program has configured it.

    Its default is standard output, which belongs to the program.
    """
    if not structlog.is_configured():
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(cast(TextIO, _STANDARD_ERROR)))


class _StandardError:
    """Standard error for logs: a closed terminal or a full disk ends no worker."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


_STANDARD_ERROR = _StandardError()


def add_job(_: object, __: str, event: EventDict) -> EventDict:
    """Add the `handle` and `function` of the running job to a log line; a structlog processor."""
    job = current_job()
    if job is not None:
        event.setdefault("function", job.function)
        event.setdefault("handle", job.handle)
    return event
