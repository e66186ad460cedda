"""Time limits that hold for any handler.

A thread can't be stopped, so a handler past its limit ends its process. `TimeLimitWatchdog` notices the limit
on a thread of its own and reports it. It needs the interpreter's lock, which code in C may keep. Behind it
stands the `Deadman`, a timer of the system that needs no lock: it prints every thread's stack and ends the
process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from .functions import Function
from .job import Job

COROUTINE_GRACE: Final = 1.0
"""Seconds beyond the limit for a coroutine to be cancelled. After them it blocks its event loop."""
WATCHDOG_GRACE: Final = 2.0
"""Seconds for the watchdog to act before the deadman does."""

_STDERR: Final = 2


class Deadman:
    """End the process at a set time with exit code 1 and every thread's stack, unless the time is changed."""

    def __init__(self) -> None:
        # Reentrant: a signal's handler may interrupt any of these lines.
        self._lock = threading.RLock()
        self._last = math.inf
        self._set_for = math.inf

    def set(self, at: float) -> None:
        """End the process at a time; `math.inf` means never."""
        with self._lock:
            self._set(min(at, self._last))
            if self._set_for > self._last:
                self._set(self._last)

    def set_for_good(self, at: float) -> None:
        """End the process at a time at the latest, whatever `set` is called with afterwards."""
        with self._lock:
            self._last = min(at, self._last)
            self._set(min(self._set_for, self._last))

    def _set(self, at: float) -> None:
        if at == self._set_for:
            return
        self._set_for = at
        self._arm(at)
        if self._set_for != at:  # a signal's handler has set another time meanwhile
            self._arm(self._set_for)

    def _arm(self, at: float) -> None:
        with contextlib.suppress(OSError, ValueError):  # there is no standard error
            if at == math.inf:
                faulthandler.cancel_dump_traceback_later()
            else:
                left = max(0.001, at - time.monotonic())
                faulthandler.dump_traceback_later(left, exit=True, file=_STDERR)


class TimeLimitWatchdog:
    """Call `overdue` with each job past its limit, the limit, and the job's thread.

    Args:
        overdue: callback on the watchdog's thread.
        deadman: timer that ends the process if the watchdog can't.
    """

    def __init__(
        self, overdue: Callable[[Job, float, threading.Thread], None], deadman: Deadman | None = None
    ) -> None:
        self._overdue = overdue
        self._deadman = deadman or Deadman()
        self._changed = threading.Condition()
        self._jobs: dict[Job, tuple[float, float, threading.Thread]] = {}
        # Time of the thread's next check.
        self._looks = math.inf
        threading.Thread(target=self._run, name="geartrain time limits", daemon=True).start()

    def begin(self, job: Job, limit: float, patience: float = 0.0) -> None:
        """Watch a job that begins in this thread, for its limit and `patience` seconds."""
        deadline = time.monotonic() + limit + patience
        with self._changed:
            self._jobs[job] = (deadline, limit, threading.current_thread())
            self._set_deadman()
            if deadline < self._looks:
                self._looks = deadline
                self._changed.notify()

    def end(self, job: Job) -> None:
        """Stop watching a job."""
        with self._changed:
            self._jobs.pop(job, None)
            self._set_deadman()

    def _set_deadman(self) -> None:
        first = min((deadline for deadline, _, _ in self._jobs.values()), default=math.inf)
        self._deadman.set(first + WATCHDOG_GRACE)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                overdue = [(job, entry) for job, entry in self._jobs.items() if entry[0] <= now]
                for job, _ in overdue:
                    del self._jobs[job]
                self._looks = min((entry[0] for entry in self._jobs.values()), default=math.inf)
                self._set_deadman()
                if not overdue:
                    # An ended job's check stays due, so a later deadline needs no notify.
                    self._changed.wait(None if self._looks == math.inf else self._looks - now)
                    continue
            for job, (_, limit, thread) in overdue:
                self._overdue(job, limit, thread)


@contextlib.contextmanager
def _watched(watch: TimeLimitWatchdog, function: Function, job: Job, limit: float) -> Iterator[None]:
    watch.begin(job, limit, COROUTINE_GRACE if function.is_coroutine else 0.0)
    try:
        yield
    finally:
        watch.end(job)


def watch_time_limit(
    watch: TimeLimitWatchdog | None, function: Function, job: Job
) -> AbstractContextManager[None]:
    """Watch the job's time limit while the block runs, if it has one and there is a watchdog."""
    if watch is None or function.time_limit is None:
        return _UNWATCHED
    return _watched(watch, function, job, function.time_limit)


_UNWATCHED: Final = contextlib.nullcontext()
