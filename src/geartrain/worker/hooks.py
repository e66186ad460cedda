"""What a program wants to be told of while its worker works."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import TypeAlias

import structlog

from .forks import ending_children
from .job import Job
from .raised import log_raised
from .signals import ENDS_WORKER

Hook: TypeAlias = Callable[[], object]
"""Called without arguments; a coroutine function will do too."""
JobHook: TypeAlias = Callable[[Job], object]
ErrorHook: TypeAlias = Callable[[Job, BaseException], object]

_log = structlog.get_logger("geartrain.worker")


class Hooks:
    """A worker's hooks of each kind, in the order in which they were registered."""

    def __init__(self) -> None:
        self.start: list[Hook] = []
        self.stop: list[Hook] = []
        self.before: list[JobHook] = []
        self.after: list[JobHook] = []
        self.error: list[ErrorHook] = []
        # How many loops run in this process, and the lock that all but the first wait for until all is there.
        self._loops = 0
        self._lock = threading.Lock()

    # In a process: the plain ones of `start` and `stop`

    def started(self) -> None:
        """A loop is about to run; what a hook raises, it must not run with."""
        with self._lock:
            if self._loops == 0:
                for hook in self.start:
                    if not inspect.iscoroutinefunction(hook):
                        with ending_children():
                            hook()
            self._loops += 1

    def stopped(self, at_once: bool) -> None:
        """A loop has ended; nobody is told of an end in haste."""
        with self._lock:
            self._loops -= 1
            if self._loops == 0 and not at_once:
                for hook in reversed(self.stop):
                    if not inspect.iscoroutinefunction(hook):
                        try:
                            with ending_children():
                                hook()
                        except ENDS_WORKER:
                            raise
                        except BaseException as raised:
                            log_raised(_log, "an on_stop hook failed", raised)

    # On an event loop that runs coroutines: those that are coroutine functions

    async def started_loop(self) -> None:
        """The event loop is there."""
        for hook in self.start:
            if inspect.iscoroutinefunction(hook):
                with ending_children():
                    await hook()

    async def stopped_loop(self) -> None:
        """It has no more jobs."""
        for hook in reversed(self.stop):
            if inspect.iscoroutinefunction(hook):
                try:
                    with ending_children():
                        await hook()
                except ENDS_WORKER:
                    raise
                except BaseException as raised:
                    log_raised(_log, "an on_stop hook failed", raised)

    # Around a job

    def begin(self, job: Job) -> None:
        """A job begins; what a hook raises, the job ends with."""
        for hook in self.before:
            hook(job)

    def end(self, job: Job, error: BaseException | None) -> None:
        """A job has ended, with an error or without. What a hook raises now can only be logged."""
        if error is not None:
            self.failed(job, error)
        # The last that was told of the beginning is the first that is told of the end.
        for after in reversed(self.after):
            try:
                after(job)
            except ENDS_WORKER:
                raise
            except BaseException as raised:
                log_raised(_log, "an after_job hook failed", raised, handle=job.handle)

    def failed(self, job: Job, error: BaseException) -> None:
        """A job has ended with an error."""
        for hook in self.error:
            try:
                hook(job, error)
            except ENDS_WORKER:
                raise
            except BaseException as raised:
                log_raised(_log, "an on_error hook failed", raised, handle=job.handle)
