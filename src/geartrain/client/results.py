"""The results of one function for many items, lazily: `map` in both shells."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast

from ..errors import GeartrainError, WaitTimeoutError
from .group import Group
from .progress import REDRAW_AFTER, Bar, part_of
from .steps import Steps, Wait
from .task import Task

if TYPE_CHECKING:
    from .asynchronous import AsyncClient
    from .base import BaseClient
    from .blocking import Client

X = TypeVar("X", bound="BaseClient[Any]")
R = TypeVar("R")

PATIENCE: Final = 0.01
"""Seconds for which items are taken from the iterable in one go, before results are looked for."""

_END: Final = object()


class BaseResults(Generic[X, R]):
    """What `Results` and `AsyncResults` have in common.

    Args:
        client: who submits.
        name: the function's name, for the bar.
        make: makes a task of an item.
        decode: makes a value of a result.
        items: where the items come from.
        total: how many there are, if that is known.
        ordered, window, return_exceptions, on_progress, progress: see `TypedFunction.map`.
    """

    def __init__(
        self,
        client: X,
        name: str,
        make: Callable[[Any], Task],
        decode: Callable[[bytes], R],
        items: Iterable[Any] | AsyncIterable[Any],
        total: int | None,
        *,
        ordered: bool,
        window: int,
        return_exceptions: bool,
        on_progress: Callable[[float, int | None], object] | None,
        progress: bool,
    ) -> None:
        if window < 1:
            raise ValueError(f"a window holds at least one job, not {window}")
        self._client = client
        self._name = name
        self._make = make
        self._decode = decode
        self._window = window
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        self._total = total
        self._on_progress = on_progress
        self._bar = Bar(transient=False) if progress else None
        self._shown_at = 0.0
        # The tasks that were submitted and whose results were not given out, in their order.
        self._waiting: dict[Task, None] = {}
        self._group = Group()
        if not ordered:
            self._group.ended = deque()
        self._given = 0
        self._exhausted = False
        self._closed = False

    def _take(self) -> Task | None:
        """The task whose result is to be given out next, if it has ended."""
        if self._ordered:
            task = next(iter(self._waiting), None)
            if task is None or not task.done:
                return None
            del self._waiting[task]
            return task
        ended = self._group.ended
        while ended:
            task = ended.popleft()
            if task in self._waiting:
                del self._waiting[task]
                return task
        return None

    def _pull(self, items: Iterator[Any]) -> list[Task]:
        """Take items until the window is full, none is left, or `PATIENCE` is over."""
        tasks: list[Task] = []
        until = time.monotonic() + PATIENCE
        room = self._window - len(self._waiting)
        while len(tasks) < room and not self._exhausted:
            item = next(items, _END)
            if item is _END:
                self._exhausted = True
                break
            tasks.append(self._task(item))
            if time.monotonic() > until:
                break
        return tasks

    def _task(self, item: Any) -> Task:
        task = self._make(item)
        task._group = self._group
        return task

    def _turn(self, new: list[Task], deadline: float | None) -> Steps[None]:
        """Submit tasks, and wait a while for a result, or just look if more tasks could be had meanwhile."""
        group, waiting = self._group, self._waiting
        group.remaining += len(new)
        waiting.update(dict.fromkeys(new))
        self._client._submit_all(deque(new))
        watched: Task | Group = next(iter(waiting)) if self._ordered else group
        if group.ended or (self._ordered and next(iter(waiting)).done):
            return
        if not self._exhausted and len(waiting) < self._window:
            deadline = self._client._now()
        else:
            deadline = self._client._before(deadline, [next(iter(waiting))])
        if self._bar is not None or self._on_progress is not None:
            redraw = self._client._now() + REDRAW_AFTER
            deadline = redraw if deadline is None else min(deadline, redraw)
        yield Wait(watched, deadline)

    def _check(self, deadline: float | None) -> None:
        """Raise when it is too late for a result; another try goes on waiting for it."""
        if self._client._passed(deadline):
            message = f"{self._name}: no result within {self._client._timeout:g} s"
            if not self._waiting:
                raise WaitTimeoutError(message)
            raise self._client._engine.timed_out(message, next(iter(self._waiting)), self._client._now())

    def _give(self, task: Task) -> R:
        self._given += 1
        self._show()
        try:
            if task.failure is not None:
                raise task.failure
            assert task.result is not None
            return self._decode(task.result)
        except GeartrainError as error:
            if self._return_exceptions:
                # It is what the caller asked for.
                return cast(R, error)
            self._end()
            raise

    def _show(self, last: bool = False) -> None:
        if self._bar is None and self._on_progress is None:
            return
        now = time.monotonic()
        if now - self._shown_at < REDRAW_AFTER and not last:
            return
        self._shown_at = now
        done = self._given + sum(map(part_of, self._waiting))
        total = self._total
        if total is None and self._exhausted:
            total = self._given + len(self._waiting)
        if self._bar is not None:
            self._bar.draw(self._name, done, total, last)
        if self._on_progress is not None:
            self._on_progress(done, total)

    def _end(self) -> None:
        """Give no more results; nobody waits for those that are outstanding."""
        if self._closed:
            return
        self._closed = True
        self._show(last=True)
        if self._bar is not None:
            self._bar.clear()
        for task in self._waiting:
            self._client._cancel(task)
        self._waiting.clear()


class Results(BaseResults["Client", R]):
    """What `map` returns: an iterator over results, which submits as it is asked.

    In a coroutine `await` gives all of them as a list, and `async for` one after the other; meanwhile a
    thread waits for them.
    """

    def __init__(self, client: Client, *, items: Iterable[Any], **keywords: Any) -> None:
        super().__init__(client, items=items, **keywords)
        self._items = iter(items)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> R:
        """The next result; see `TypedFunction.map` for what is raised."""
        deadline = self._client._deadline(None)
        while not self._closed:
            task = self._take()
            if task is not None:
                return self._give(task)
            self._check(deadline)
            try:
                # The items may come from code that uses the client itself.
                new = self._pull(self._items)
                if not new and not self._waiting:
                    break
                if new:
                    # The time that the source took does not count.
                    deadline = self._client._deadline(None)
                self._client.run_steps(self._turn(new, deadline))
            except BaseException:
                self._end()
                raise
            self._show()
        self._end()
        raise StopIteration

    def close(self) -> None:
        """Stop: nobody waits for the jobs that are outstanding."""
        self._end()

    def __aiter__(self) -> AsyncIterator[R]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[R]:
        while (result := await asyncio.to_thread(next, self, _END)) is not _END:
            yield cast(R, result)

    def __await__(self) -> Generator[Any, Any, list[R]]:
        return asyncio.to_thread(list, self).__await__()


class AsyncResults(BaseResults["AsyncClient", R]):
    """What the async client's `map` returns: `async for` gives results one by one, `await` all as a list."""

    def __init__(
        self, client: AsyncClient, *, items: Iterable[Any] | AsyncIterable[Any], **keywords: Any
    ) -> None:
        super().__init__(client, items=items, **keywords)
        self._items: Iterator[Any] | None = None
        self._source: AsyncIterator[Any] | None = None
        if isinstance(items, AsyncIterable):
            self._source = aiter(items)
        else:
            self._items = iter(items)
        # The next item, on its way out of an async iterable.
        self._incoming: asyncio.Task[Any] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        """The next result; see `TypedFunction.map` for what is raised."""
        deadline = self._client._deadline(None)
        while not self._closed:
            task = self._take()
            if task is not None:
                return self._give(task)
            if self._exhausted and not self._waiting:
                break
            self._check(deadline)
            try:
                if await self._advance(deadline):
                    deadline = self._client._deadline(None)
            except asyncio.CancelledError:
                # Another `__anext__` may go on.
                raise
            except BaseException:
                self._end()
                raise
            self._show()
        self._end()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop: nobody waits for the jobs that are outstanding."""
        self._end()

    def __await__(self) -> Generator[Any, Any, list[R]]:
        return self._all().__await__()

    async def _all(self) -> list[R]:
        return [result async for result in self]

    def _end(self) -> None:
        super()._end()
        if self._incoming is not None:
            self._incoming.cancel()
            self._incoming = None

    async def _advance(self, deadline: float | None) -> bool:
        """Submit what the source has, or wait a while for a result; whether the source had something."""
        if self._items is not None:
            new = self._pull(self._items)
            if new or self._waiting:
                await self._client.run_steps(self._turn(new, deadline))
            return bool(new)
        if self._incoming is None and not self._exhausted and len(self._waiting) < self._window:
            self._incoming = asyncio.create_task(self._next_item())
        incoming = self._incoming
        if incoming is None:
            await self._client.run_steps(self._turn([], deadline))
            return False
        if not self._waiting:
            await asyncio.wait([incoming])
        else:
            results = asyncio.create_task(self._result())
            try:
                wait = REDRAW_AFTER if self._bar is not None or self._on_progress is not None else None
                if deadline is not None:
                    left = max(deadline - self._client._now(), 0.0)
                    wait = left if wait is None else min(wait, left)
                await asyncio.wait([incoming, results], timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            finally:
                results.cancel()
        if not incoming.done():
            return False
        self._incoming = None
        item = incoming.result()
        if item is _END:
            self._exhausted = True
            return False
        task = self._task(item)
        self._group.remaining += 1
        self._waiting[task] = None
        self._client._start(task)
        return True

    async def _next_item(self) -> Any:
        assert self._source is not None
        return await anext(self._source, _END)

    async def _result(self) -> None:
        """Wait until there is a result to give out."""

        def steps() -> Steps[None]:
            watched: Task | Group = next(iter(self._waiting)) if self._ordered else self._group
            while not (watched.done if isinstance(watched, Task) else self._group.ended):
                yield Wait(watched)

        await self._client.run_steps(steps())
