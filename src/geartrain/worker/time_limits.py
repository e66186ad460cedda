"""Time limits that hold even where a handler never returns.

A thread can't be stopped, so the end of a handler that runs away is the end of its process. `Watch` notices
on a thread of its own, and what is to be told is told from there. That needs the interpreter's lock for a
moment, which Python code gives up by itself; code in C may keep it. So behind the watch stands a `Deadman`,
a timer of the system's that needs no lock: it prints where each thread is stuck, and ends the process.
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

PATIENCE: Final = 1.0
"""Seconds beyond its time limit in which a coroutine must have been broken off; else it blocks its loop."""
MARGIN: Final = 2.0
"""Seconds that the watch has to act before the process is ended without it."""

_STDERR: Final = 2


class Deadman:
    """Ends the process at a time, with exit code 1 and every thread's stack, unless that time is changed."""

    def __init__(self) -> None:
        # A signal's handler may come in amid any of these lines, in the thread that holds it.
        self._lock = threading.RLock()
        self._last = math.inf
        self._set_for = math.inf

    def set(self, at: float) -> None:
        """End the process then; `math.inf` is never."""
        with self._lock:
            self._set(min(at, self._last))
            if self._set_for > self._last:
                self._set(self._last)

    def set_for_good(self, at: float) -> None:
        """End the process then at the latest, whatever else is set from now on."""
        with self._lock:
            self._last = min(at, self._last)
            self._set(min(self._set_for, self._last))

    def _set(self, at: float) -> None:
        if at == self._set_for:
            return
        self._set_for = at
        self._arm(at)
        if self._set_for != at:  # a signal's handler has set another one meanwhile, perhaps before this one
            self._arm(self._set_for)

    def _arm(self, at: float) -> None:
        with contextlib.suppress(OSError, ValueError):  # there is no standard error to tell
            if at == math.inf:
                faulthandler.cancel_dump_traceback_later()
            else:
                left = max(0.001, at - time.monotonic())
                faulthandler.dump_traceback_later(left, exit=True, file=_STDERR)


class Watch:
    """Calls `overdue` with each job that goes past its time, its time limit, and the thread that does it.

    Args:
        overdue: called on the watch's thread.
        deadman: what ends the process if the watch can't.
    """

    def __init__(
        self, overdue: Callable[[Job, float, threading.Thread], None], deadman: Deadman | None = None
    ) -> None:
        self._overdue = overdue
        self._deadman = deadman or Deadman()
        self._changed = threading.Condition()
        self._jobs: dict[Job, tuple[float, float, threading.Thread]] = {}
        # When the thread looks next.
        self._looks = math.inf
        threading.Thread(target=self._run, name="geartrain watches time limits", daemon=True).start()

    def begin(self, job: Job, limit: float, patience: float = 0.0) -> None:
        """A job with a time limit begins, in this thread; `patience` seconds are added to the limit."""
        deadline = time.monotonic() + limit + patience
        with self._changed:
            self._jobs[job] = (deadline, limit, threading.current_thread())
            self._set_deadman()
            if deadline < self._looks:
                self._looks = deadline
                self._changed.notify()

    def end(self, job: Job) -> None:
        """It has ended."""
        with self._changed:
            self._jobs.pop(job, None)
            self._set_deadman()

    def _set_deadman(self) -> None:
        first = min((deadline for deadline, _, _ in self._jobs.values()), default=math.inf)
        self._deadman.set(first + MARGIN)

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
                    # A job that ends leaves its time to look behind, so that the next one need not wake us.
                    self._changed.wait(None if self._looks == math.inf else self._looks - now)
                    continue
            for job, (_, limit, thread) in overdue:
                self._overdue(job, limit, thread)


@contextlib.contextmanager
def _watched(watch: Watch, function: Function, job: Job, limit: float) -> Iterator[None]:
    watch.begin(job, limit, PATIENCE if function.is_coroutine else 0.0)
    try:
        yield
    finally:
        watch.end(job)


def watched(watch: Watch | None, function: Function, job: Job) -> AbstractContextManager[None]:
    """Have the job's time limit watched while the block runs, if it has one and there is a watch."""
    if watch is None or function.time_limit is None:
        return _UNWATCHED
    return _watched(watch, function, job, function.time_limit)


_UNWATCHED: Final = contextlib.nullcontext()
