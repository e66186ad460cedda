"""Threads for plain functions, beside the coroutines of an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import structlog

SPARE: Final = 32
"""Threads beyond the concurrency, for handlers that go on after their time limit."""

_log = structlog.get_logger("geartrain.worker")


class Threads:
    """Runs the handlers of jobs, each on a thread.

    Args:
        concurrency: jobs at a time, at most.
        freed: called on the event loop when there is a thread for another job again.
    """

    def __init__(self, concurrency: int, freed: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(concurrency + SPARE, "geartrain job")
        self._freed = freed
        # Those whose handler goes on though its job has ended.
        self._overdue = 0
        self._closed = False

    @property
    def lacking(self) -> int:
        """Jobs fewer than the concurrency that there are threads for, since handlers do not return."""
        return max(0, self._overdue - SPARE)

    async def run(self, call: Callable[[], object]) -> object:
        """Call it on a thread. Being cancelled, leave the thread alone until the call returns."""
        future = self._pool.submit(call)
        try:
            return await asyncio.wrap_future(future)
        finally:
            if not (future.cancel() or future.done()):
                self._leave_alone(future)

    def _leave_alone(self, future: Future[object]) -> None:
        if self._closed:
            return  # no job will need the thread
        loop = asyncio.get_running_loop()
        self._overdue += 1
        if self.lacking:
            _log.warning("handlers go on after their time limit, fewer jobs are taken", late=self._overdue)

        def returned(_: Future[object]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._returned)

        future.add_done_callback(returned)

    def _returned(self) -> None:
        self._overdue -= 1
        self._freed()

    def close(self) -> None:
        """Take no more calls. Those that go on can't be ended."""
        self._closed = True
        self._pool.shutdown(wait=False)
