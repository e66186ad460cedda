"""A process that has worked enough makes room for a fresh one: handlers leak, and so do libraries."""

from __future__ import annotations

import math
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from ..job import Job

_PAGE: Final = resource.getpagesize()
_STATM: Final = Path("/proc/self/statm")

_log = structlog.get_logger("geartrain.worker")


class Recycling:
    """Calls `stop` when a process has done `max_jobs`, or holds `max_memory` bytes, after a job.

    Registered as a hook, it is called in the threads of the jobs. Jobs that run beside the last one are done
    as well, so it may be some more.
    """

    def __init__(self, max_jobs: float, max_memory: float, stop: Callable[[], None]) -> None:
        self.jobs = 0
        """Jobs that were done."""
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._stop = stop
        self._stopped = False
        self._lock = threading.Lock()

    def job_ended(self, _: Job) -> None:
        """Take note of one more job."""
        with self._lock:
            self.jobs += 1
            if self._stopped:
                return
            if self.jobs >= self._max_jobs:
                self._stopped = True
                _log.info("this process has done its jobs", jobs=self.jobs)
            elif self._max_memory < math.inf and (held := resident_memory()) > self._max_memory:
                self._stopped = True
                _log.info("this process holds more memory than it may", jobs=self.jobs, bytes=held)
            else:
                return
        self._stop()


def resident_memory() -> int:
    """Bytes of memory that this process holds; where there is no /proc, the most that it ever did."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
