"""The log on standard error: for a person at a terminal, JSON lines for everything else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import complain

if TYPE_CHECKING:
    import logging

    from structlog.typing import Processor

    from ..worker import Job, Worker


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    HUMAN = "human"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important kind of line that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


LogFormatOption = Annotated[
    LogFormat, typer.Option(help="human on a terminal and json elsewhere, or one of them always.")
]
LogLevelOption = Annotated[LogLevel, typer.Option(help="Log nothing below this.")]


def configure_logs(
    form: LogFormat = LogFormat.AUTO,
    level: LogLevel = LogLevel.INFO,
    file: str = "",
    processors: Sequence[Processor] = (),
) -> None:
    """Send what structlog and the standard library's loggers say to one place, in one form.

    Args:
        form: how lines look.
        level: the least important kind.
        file: a path, opened anew when the file there was moved away, as logrotate does; `syslog`, `none`, or
            empty for standard error.
        processors: they add to each line what only some commands know.

    Raises:
        OSError: the file can't be written, or there is no system log.
    """
    import logging

    import structlog

    on_terminal = not file and sys.stderr.isatty()
    human = form is LogFormat.HUMAN or (form is LogFormat.AUTO and on_terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S" if human else "iso", utc=not human),
        structlog.stdlib.PositionalArgumentsFormatter(),
        *processors,
    ]
    last: list[Processor]
    if human:
        # A traceback that shows variables would show what is in the jobs.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=on_terminal, pad_event_to=0, exception_formatter=plain)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = _handler(file)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _handler(file: str) -> logging.Handler:
    import logging
    from logging import handlers

    if file == "none":
        return logging.NullHandler()
    if file == "syslog":
        return handlers.SysLogHandler("/dev/log", handlers.SysLogHandler.LOG_DAEMON)
    if not file:
        return logging.StreamHandler(sys.stderr)

    class FileHandler(handlers.WatchedFileHandler):
        """Says once that its disk is full, and not with a traceback for each line."""

        has_failed = False

        def emit(self, record: logging.LogRecord) -> None:
            self.is_well = True
            super().emit(record)
            self.has_failed = not self.is_well

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
            error = sys.exc_info()[1]
            if not isinstance(error, OSError):
                super().handleError(record)
                return
            self.is_well = False
            if not self.has_failed:
                complain(f"log.file: {file}: {error.strerror}; what is logged is lost until it has room")

    return FileHandler(file, encoding="utf-8")


def log_jobs(worker: Worker) -> None:
    """Log the beginning and the duration of each job at level debug."""
    import time

    import structlog

    log = structlog.get_logger("geartrain.worker")
    began: dict[Job, float] = {}

    @worker.before_job
    def begins(job: Job) -> None:
        began[job] = time.monotonic()
        log.debug("job begins", unique=job.unique, bytes=len(job.workload))

    @worker.after_job
    def ended(job: Job) -> None:
        # A hook before ours may have refused the job.
        now = time.monotonic()
        log.debug("job ended", seconds=round(now - began.pop(job, now), 6))
