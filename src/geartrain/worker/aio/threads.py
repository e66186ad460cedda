"""Threads for plain functions, beside the coroutines of an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import structlog

SPARE: Final = 32
"""Threads beyond the concurrency, for handlers past their time limit."""

_log = structlog.get_logger("geartrain.worker")


class Threads:
    """Run the handlers of jobs, each on a thread.

    Args:
        concurrency: highest number of jobs at a time.
        freed: callback on the event loop when a thread is free again.
    """

    def __init__(self, concurrency: int, freed: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(concurrency + SPARE, "geartrain job")
        self._freed = freed
        # Threads whose handler goes on although its job has ended.
        self._overdue = 0
        self._closed = False

    @property
    def lacking(self) -> int:
        """Threads still occupied by handlers past their time limit, beyond the spare ones."""
        return max(0, self._overdue - SPARE)

    async def run(self, call: Callable[[], object]) -> object:
        """Call a function on a thread. A cancellation leaves the thread occupied until the call returns."""
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
            _log.warning("handlers run past their time limit, fewer jobs are grabbed", late=self._overdue)

        def returned(_: Future[object]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._returned)

        future.add_done_callback(returned)

    def _returned(self) -> None:
        self._overdue -= 1
        self._freed()

    def close(self) -> None:
        """Refuse further calls. Running ones can't be ended."""
        self._closed = True
        self._pool.shutdown(wait=False)
