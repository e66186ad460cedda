"""Supervises a Python script, for tests: `python -m tests.worker.pool.supervise N GRACE SCRIPT [FOLDER…]`."""

from __future__ import annotations

import sys
from pathlib import Path

import structlog

from geartrain.worker.pool import Supervisor

if __name__ == "__main__":
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    processes, grace, script, *folders = sys.argv[1:]
    supervisor = Supervisor(
        [sys.executable, script], int(processes), grace=float(grace), reload=[Path(each) for each in folders]
    )
    sys.exit(supervisor.run())
