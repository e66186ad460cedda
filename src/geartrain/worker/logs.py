"""Where a worker's log goes when its program has not said."""

from __future__ import annotations

import sys

import structlog


def keep_off_stdout() -> None:
    """Have structlog write to standard error, unless the program has configured it.

    Its own default is standard output, which is the program's.
    """
    if not structlog.is_configured():
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
