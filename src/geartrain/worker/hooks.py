"""Callbacks around jobs and around the whole run of a worker."""

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
"""A function without arguments, plain or a coroutine function."""
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
        # Number of running loops. The lock holds the others back until the first has called `start`.
        self._loops = 0
        self._lock = threading.Lock()

    # Plain hooks of `start` and `stop`, once a process

    def started(self) -> None:
        """Call the start hooks before the first loop. An exception of one keeps the loop from running."""
        with self._lock:
            if self._loops == 0:
                for hook in self.start:
                    if not inspect.iscoroutinefunction(hook):
                        with ending_children():
                            hook()
            self._loops += 1

    def stopped(self, at_once: bool) -> None:
        """Call the stop hooks after the last loop, but not `at_once`."""
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

    # Coroutine hooks of `start` and `stop`, once an event loop

    async def started_loop(self) -> None:
        """Call the coroutine start hooks."""
        for hook in self.start:
            if inspect.iscoroutinefunction(hook):
                with ending_children():
                    await hook()

    async def stopped_loop(self) -> None:
        """Call the coroutine stop hooks."""
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
        """Call the hooks before a job. An exception of one ends the job."""
        for hook in self.before:
            hook(job)

    def end(self, job: Job, error: BaseException | None) -> None:
        """Call the hooks after a job, with its error if it has one. Their own exceptions are logged."""
        if error is not None:
            self.failed(job, error)
        # In reverse order, like nested contexts.
        for after in reversed(self.after):
            try:
                after(job)
            except ENDS_WORKER:
                raise
            except BaseException as raised:
                log_raised(_log, "an after_job hook failed", raised, handle=job.handle)

    def failed(self, job: Job, error: BaseException) -> None:
        """Call the error hooks of a job."""
        for hook in self.error:
            try:
                hook(job, error)
            except ENDS_WORKER:
                raise
            except BaseException as raised:
                log_raised(_log, "an on_error hook failed", raised, handle=job.handle)
