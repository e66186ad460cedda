"""One thread that blocks in an event loop's place: less is done for each call than in asyncio's executors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Call = tuple[asyncio.Future[Any], Callable[..., Any], tuple[object, ...]]


class BlockingThread:
    """Calls functions one after the other; whoever asked for it awaits the result.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Call a function there; returns what it returns or raises what it raises."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((future, function, args))
        return await future

    def stop(self) -> None:
        """End the thread when it has done what it was asked for."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function, args = call
            result: object = None
            error: BaseException | None = None
            try:
                result = function(*args)
            except BaseException as raised:
                # As in a coroutine, a StopIteration would not get through.
                error = RuntimeError(str(raised)) if isinstance(raised, StopIteration) else raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            # Nothing of a batch stays in memory until the next one.
            del call, future, function, args, result, error


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return  # whoever awaited it was cancelled
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
