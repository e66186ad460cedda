"""What one process of `geartrain work` does: its threads and coroutines, and its end.

Plain functions are done by threads, each a loop of its own with its own connections, so that no handler ever
holds up what another one has to tell its server. With `concurrency` the coroutine functions are done by one
event loop, and the threads announce only the others.

The end comes in one of these ways:

    asked to stop         the jobs in hand have the grace to finish; then the connections are closed, and the
                          servers give what was not finished to other workers
    asked a second time   the same, at once
    worked enough         max_jobs or max_memory: stops by itself, as if asked, without a limit of time
    a job went past       its client is told, the jobs beside it have the grace to finish, and the process
    its time limit        ends with code 124, since nothing else ends the handler's thread
    a hook failed         the process ends with the exception
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from ...errors import TimeLimitError
from ...wire import packets as p
from .. import forks, outcome
from ..aio.loop import CoroutineLoop
from ..functions import FunctionSubset
from ..job import Job
from ..outcome import exception_text
from ..signals import StopAtOnce, stopped_by_signals
from ..sync.loop import Loop
from ..time_limits import WATCHDOG_GRACE, Deadman, TimeLimitWatchdog
from ..worker import Worker
from .recycling import Recycling
from .supervisor import OVERDUE

AT_ONCE: Final = 1.0
"""Seconds that coroutines have to be cancelled in."""
HEARD_WITHIN: Final = 1.0
"""Seconds within which a signal is seen that came in the instant before the wait for the threads began.

Such a signal does not end the wait.
"""
LOOK: Final = 0.05
"""Seconds between two looks at who has finished, when a process ends with a handler that never will."""

_CALLER: Final = outcome.__file__
"""The file whose code calls handlers."""

_log = structlog.get_logger("geartrain.worker")


@dataclass(frozen=True)
class ProcessOptions:
    """How one process works.

    Args:
        threads: that do jobs of plain functions.
        concurrency: jobs of coroutine functions at a time; 0 leaves them to the threads, one by one.
        grace: seconds that the jobs in hand have when it is asked to stop.
        max_jobs: jobs after which it ends; None: never.
        max_memory: bytes of memory that it may hold after a job, else it ends; None: any number.
    """

    threads: int = 1
    concurrency: int = 0
    grace: float = 30.0
    max_jobs: int | None = None
    max_memory: int | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"a worker has one thread or more, not {self.threads}")
        if self.concurrency < 0:
            raise ValueError(f"concurrency is a number of jobs, not {self.concurrency}")
        if not 0 <= self.grace < math.inf:
            raise ValueError(f"a grace is a number of seconds, not {self.grace}")


class WorkerProcess:
    """Runs a worker in this process, as `options` say, until it is asked to stop.

    `leaving` is called where the process ends although handlers run in it, for what must not outlive them.
    """

    def __init__(
        self, worker: Worker, options: ProcessOptions, leaving: Callable[[], None] | None = None
    ) -> None:
        self._leaving = leaving
        self._worker = worker
        self._options = options
        self._recycling = Recycling(
            math.inf if options.max_jobs is None else options.max_jobs,
            math.inf if options.max_memory is None else options.max_memory,
            worker.stop,
        )
        self._deadman = Deadman()
        self._threads: list[threading.Thread] = []
        # Those whose handler has gone past its time limit.
        self._stuck: set[threading.Thread] = set()
        self._failure: BaseException | None = None
        self._grace_is_over = False
        self._cancel: Callable[[], object] | None = None

    @property
    def jobs(self) -> int:
        """Jobs that were done."""
        return self._recycling.jobs

    def run(self) -> int:
        """Work until the end; returns the exit code. In the main thread only.

        It does not return, and ends the process, if there are threads that can't be ended otherwise.
        """
        worker, options = self._worker, self._options
        forks.own_process()
        worker._hooks.after.insert(0, self._recycling.job_ended)
        worker._watch = TimeLimitWatchdog(self._overdue, self._deadman)
        loops: list[Loop | CoroutineLoop]
        if options.concurrency:
            coroutines = FunctionSubset(worker._functions, coroutines=True)
            plain = FunctionSubset(worker._functions, coroutines=False)
            loops = [worker._new_coroutine_loop(coroutines, options.concurrency)]
            if plain.table or not coroutines.table:
                loops += [worker._new_loop(plain) for _ in range(options.threads)]
        else:
            loops = [worker._new_loop() for _ in range(options.threads)]
        code = 0
        at_once = False
        try:
            with stopped_by_signals(self._stop):
                # Alone, a loop has the main thread, which some libraries insist on.
                if len(loops) == 1 and isinstance(loops[0], Loop):
                    self._threads = [threading.current_thread()]
                    worker._run(loops[0])
                else:
                    self._run_in_threads(loops)
        except StopAtOnce as stop:
            at_once = True
            if self._grace_is_over:
                _log.warning("the grace is over: jobs that were not finished go back to their servers")
            else:
                code = 128 + stop.number
        if self._failure is not None:
            raise self._failure
        if self._stuck:
            code = code or OVERDUE  # also if the handler has returned after all
        if at_once and len(loops) > 1:
            self._leave(code)
        self._deadman.set_for_good(time.monotonic() + options.grace + WATCHDOG_GRACE)
        return code

    def _run_in_threads(self, loops: list[Loop | CoroutineLoop]) -> None:
        # Not joined before: a join that a signal's handler ends by raising takes the thread for ended.
        ends: list[threading.Event] = []
        for number, loop in enumerate(loops):
            name = f"geartrain works {number}"
            ends.append(threading.Event())
            arguments = (loop, ends[-1])
            self._threads.append(threading.Thread(target=self._run, args=arguments, name=name, daemon=True))
        for thread in self._threads:
            thread.start()
        try:
            for thread, end in zip(self._threads, ends, strict=True):
                while not end.wait(HEARD_WITHIN):
                    pass
                thread.join(HEARD_WITHIN)
        except StopAtOnce:
            with contextlib.suppress(RuntimeError):  # its event loop was closed just now
                if self._cancel is not None:
                    self._cancel()
            ends[0].wait(AT_ONCE)
            raise

    def _run(self, loop: Loop | CoroutineLoop, end: threading.Event) -> None:
        try:
            if isinstance(loop, Loop):
                self._worker._run(loop)
            else:
                with contextlib.suppress(asyncio.CancelledError), asyncio.Runner() as runner:
                    runner.run(self._run_coroutines(loop))
        except BaseException as error:
            # The others stop too: a part of a worker is not what was asked for.
            self._failure = self._failure or error
            self._worker.stop()
        finally:
            end.set()

    async def _run_coroutines(self, loop: CoroutineLoop) -> None:
        task = asyncio.current_task()
        assert task is not None
        event_loop = asyncio.get_running_loop()
        self._cancel = lambda: event_loop.call_soon_threadsafe(task.cancel)
        try:
            await self._worker._run_async(loop)
        finally:
            self._cancel = None

    # Stopping

    def _stop(self) -> None:
        """The first signal has come."""
        grace = self._options.grace
        self._worker.stop()

        def over() -> None:
            self._grace_is_over = True
            os.kill(os.getpid(), signal.SIGTERM)

        timer = threading.Timer(grace, over)
        timer.daemon = True
        timer.start()
        # A handler may keep the interpreter's lock, or swallow what it is broken off with.
        self._deadman.set_for_good(time.monotonic() + grace + WATCHDOG_GRACE)

    def _overdue(self, job: Job, limit: float, thread: threading.Thread) -> None:
        """On the watch's thread: a handler has gone past its time limit and does not return."""
        error = TimeLimitError(limit, job.handle)
        names = {"function": job.function, "handle": job.handle}
        _log.error("job went past its time limit", **names, limit=limit, stack=_stack_of(thread))
        first = not self._stuck
        self._stuck.add(thread)
        self._worker.stop()
        if first:
            self._deadman.set_for_good(time.monotonic() + self._options.grace + WATCHDOG_GRACE)
        job.end_from_outside(p.WORK_EXCEPTION, exception_text(error))
        self._worker._hooks.failed(job, error)
        if first:
            threading.Thread(target=self._leave_when_finished, name="geartrain leaves", daemon=True).start()

    def _leave_when_finished(self) -> None:
        deadline = time.monotonic() + self._options.grace
        while time.monotonic() < deadline and any(
            thread.is_alive() and thread not in self._stuck for thread in self._threads
        ):
            time.sleep(LOOK)
        self._leave(OVERDUE)

    def _leave(self, code: int) -> None:
        """End the process although handlers run in it."""
        if self._leaving is not None:
            self._leaving()
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _stack_of(thread: threading.Thread) -> str:
    """Where a thread's handler is, as a traceback that begins in the handler."""
    frame = sys._current_frames().get(thread.ident or 0)
    frames = list(traceback.walk_stack(frame))
    beyond = [number for number, (frame, _) in enumerate(frames) if frame.f_code.co_filename == _CALLER]
    # The innermost comes first.
    summary = traceback.StackSummary.extract(iter(frames[: beyond[0] if beyond else None]))
    summary.reverse()
    return "".join(summary.format()).rstrip()
