"""A function as its caller has it: called with arguments it gives a value, and in between there is a job."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sized
from datetime import datetime
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from ..errors import GeartrainError
from ..wire.codec import bytes_of
from .compose import Call
from .futures import AsyncJobFuture, JobFuture
from .results import AsyncResults, Results
from .task import Priority, Task

if TYPE_CHECKING:
    from .asynchronous import AsyncClient  # noqa: F401 - named in a base's brackets
    from .base import BaseClient
    from .blocking import Client  # noqa: F401

X = TypeVar("X", bound="BaseClient[Any]")
P = ParamSpec("P")
R = TypeVar("R")

WINDOW: Final = 100
"""Jobs that `map` has under way at most unless it is told otherwise."""

OnProgress = Callable[[float, int | None], object]


class Options(TypedDict, total=False):
    """What can be said about the jobs of a function."""

    unique: str
    priority: Priority | str
    retry_count: int
    timeout: float | None
    expires: float | None
    at: datetime | float | None
    progress: bool


class Known(Protocol):
    """What is known of a function: its `Signature`, or just its name."""

    @property
    def name(self) -> str:
        """Its name for Gearman."""

    def workload(
        self, args: tuple[Any, ...], keywords: dict[str, Any], context: Mapping[str, str] | None = None
    ) -> bytes:
        """The workload of a call."""

    def result(self, data: bytes) -> Any:
        """The value in a job's result."""


class JustName:
    """A function of which just the name is known: it takes a workload and gives bytes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def workload(
        self, args: tuple[Any, ...], keywords: dict[str, Any], context: Mapping[str, str] | None = None
    ) -> bytes:
        """The one argument; no context travels with it."""
        if keywords or len(args) > 1:
            raise TypeError(f"{self.name}: a function that is just a name takes one workload")
        return bytes_of(args[0]) if args else b""

    def result(self, data: bytes) -> bytes:
        """The bytes themselves."""
        return data


class BaseTyped(Generic[X, P, R]):
    """What `TypedFunction` and `AsyncTypedFunction` have in common."""

    def __init__(self, client: X, signature: Known, options: Options) -> None:
        self._client = client
        self._signature = signature
        self._options = options

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def name(self) -> str:
        """The function's name for Gearman, without the client's prefix."""
        return self._signature.name

    def options(self, **changes: Unpack[Options]) -> Self:
        """The same function with other options for its jobs: `add.options(priority="high", timeout=5)(2, 3)`.

        Args:
            unique, priority, retry_count, timeout, expires, progress: as for `Client.submit`; `timeout` and
                `progress` hold for each job.
            at: for `background` alone, as there.
        """
        unknown = changes.keys() - Options.__annotations__
        if unknown:
            raise TypeError(f"there is no option {', '.join(sorted(unknown))}")
        changed = copy.copy(self)
        changed._options = cast(Options, {**self._options, **changes})
        return changed

    def task(self, *args: P.args, **keywords: P.kwargs) -> Task:
        """A task for a task set. Its result is in bytes; `decode` makes a value of it."""
        return self._task(args, keywords)

    def call(self, *args: P.args, **keywords: P.kwargs) -> Call[R]:
        """This call, to be done later, as a part of a `chain` or a `group`; see `Client.perform`."""
        return Call(self, lambda: self._task(args, keywords))

    def decode(self, result: bytes) -> R:
        """The value in a job's result.

        Raises:
            ResultError: the result is not what the function declares.
        """
        value: R = self._signature.result(result)
        return value

    def _task(self, args: tuple[Any, ...], keywords: dict[str, Any], background: bool = False) -> Task:
        options = self._options
        context = self._client.context
        workload = self._signature.workload(args, keywords, None if context is None else context(self.name))
        return Task(
            self.name,
            workload,
            unique=options.get("unique", ""),
            priority=options.get("priority", Priority.NORMAL),
            background=background,
            at=options.get("at"),
            retry_count=options.get("retry_count", 0),
            timeout=options.get("timeout"),
            expires=options.get("expires"),
        )

    def _bounded(self, args: tuple[Any, ...], keywords: dict[str, Any], background: bool = False) -> Task:
        """A task for a call that waits, so the client's time-out holds if the function has none."""
        task = self._task(args, keywords, background)
        if task.timeout is None:
            task.timeout = self._client._timeout
        return task

    def _map(self, items: tuple[Any, ...], **options: Any) -> dict[str, Any]:
        if not items:
            raise TypeError("map: over what?")
        single = len(items) == 1
        return {
            "name": self.name,
            "make": (lambda item: self._task((item,), {})) if single else lambda item: self._task(item, {}),
            "decode": self.decode,
            "items": items[0] if single else zip(*items, strict=False),
            "total": min(map(len, items)) if all(isinstance(each, Sized) for each in items) else None,
            "progress": options.pop("progress") or self._options.get("progress", False),
            **options,
        }


class TypedFunction(BaseTyped["Client", P, R]):
    """A function that workers do, as `Client.function` returns it."""

    def __call__(self, *args: P.args, **keywords: P.kwargs) -> R:
        """Have it done and return what it returns.

        Raises:
            TypeError: Python would not call the function like that; nothing was submitted.
            JobException: the function raised an exception, or its arguments are not what it declares.
            ResultError: the result is not what the function declares.
            others: as for `Client.run`.
        """
        task = self._bounded(args, keywords)
        if self._options.get("progress"):
            return self._submit(task).result()
        return self.decode(self._client.run_steps(self._client._finish(task)))

    def submit(self, *args: P.args, **keywords: P.kwargs) -> JobFuture[R]:
        """Have it done meanwhile: returns a future, as `Client.submit` does."""
        return self._submit(self._task(args, keywords))

    def background(self, *args: P.args, **keywords: P.kwargs) -> str:
        """Queue a job that nobody waits for; returns its handle, as `Client.background` does."""
        task = self._bounded(args, keywords, background=True)
        self._client.run_steps(self._client._finish(task))
        return task.handle

    @overload
    def map(
        self, *items: Iterable[Any], ordered: bool = True, window: int = WINDOW,
        return_exceptions: Literal[False] = False, on_progress: OnProgress | None = None,
        progress: bool = False,
    ) -> Results[R]: ...  # fmt: skip
    @overload
    def map(
        self, *items: Iterable[Any], ordered: bool = True, window: int = WINDOW,
        return_exceptions: bool, on_progress: OnProgress | None = None, progress: bool = False,
    ) -> Results[R | GeartrainError]: ...  # fmt: skip
    def map(
        self,
        *items: Iterable[Any],
        ordered: bool = True,
        window: int = WINDOW,
        return_exceptions: bool = False,
        on_progress: OnProgress | None = None,
        progress: bool = False,
    ) -> Results[Any]:
        """Have it done for each item, several at a time; returns an iterator over the results.

        It is lazy: items are taken and submitted as results are asked for, the first not before the first
        result is asked for. So the iterable may be endless, and no more than `window` jobs are in memory.

        Args:
            items: what to call it with, one after the other; several iterables give an argument each, until
                the shortest ends.
            ordered: give the results in the items' order, else as they come.
            window: how many jobs may be under way, and wait for their result to be taken, at a time.
            return_exceptions: give the failure of a job in its result's place, and go on. Else the first one
                is raised when it is its turn, and nobody waits for the jobs that are outstanding.
            on_progress: called with how many jobs are done, parts as their workers tell included, and how
                many there are, None as long as that is not known; ten times a second at most, and at the end.
            progress: show a bar on standard error, if that is a terminal.

        Raises:
            WaitTimeoutError: no result within the client's `timeout`; the iteration may go on.
            others: what the function's call raises, and what the iterable does.
        """
        return Results(
            self._client,
            **self._map(
                items, ordered=ordered, window=window, return_exceptions=return_exceptions,
                on_progress=on_progress, progress=progress,
            ),
        )  # fmt: skip

    def _submit(self, task: Task) -> JobFuture[R]:
        self._client.run_steps(self._client._send(task))
        return JobFuture(self._client, task, self.decode, self._options.get("progress", False))


class AsyncTypedFunction(BaseTyped["AsyncClient", P, R]):
    """A function that workers do, as `AsyncClient.function` returns it."""

    async def __call__(self, *args: P.args, **keywords: P.kwargs) -> R:
        """Have it done and return what it returns; see `TypedFunction`."""
        task = self._bounded(args, keywords)
        if self._options.get("progress"):
            return await self._submit(task)
        return self.decode(await self._client.run_steps(self._client._finish(task)))

    def submit(self, *args: P.args, **keywords: P.kwargs) -> AsyncJobFuture[R]:
        """Have it done meanwhile: returns a future at once, which can be awaited.

        As with `asyncio.create_task` nothing holds you back from submitting more than memory has room for;
        `map` does.
        """
        return self._submit(self._task(args, keywords))

    async def background(self, *args: P.args, **keywords: P.kwargs) -> str:
        """Queue a job that nobody waits for; returns its handle, as `AsyncClient.background` does."""
        task = self._bounded(args, keywords, background=True)
        await self._client.run_steps(self._client._finish(task))
        return task.handle

    @overload
    def map(
        self, *items: Iterable[Any] | AsyncIterable[Any], ordered: bool = True, window: int = WINDOW,
        return_exceptions: Literal[False] = False, on_progress: OnProgress | None = None,
        progress: bool = False,
    ) -> AsyncResults[R]: ...  # fmt: skip
    @overload
    def map(
        self, *items: Iterable[Any] | AsyncIterable[Any], ordered: bool = True, window: int = WINDOW,
        return_exceptions: bool, on_progress: OnProgress | None = None, progress: bool = False,
    ) -> AsyncResults[R | GeartrainError]: ...  # fmt: skip
    def map(
        self,
        *items: Iterable[Any] | AsyncIterable[Any],
        ordered: bool = True,
        window: int = WINDOW,
        return_exceptions: bool = False,
        on_progress: OnProgress | None = None,
        progress: bool = False,
    ) -> AsyncResults[Any]:
        """Have it done for each item, several at a time; `async for` gives the results, or `await` a list.

        The arguments are those of `TypedFunction.map`; a single iterable may be an async one.
        """
        return AsyncResults(
            self._client,
            **self._map(
                items, ordered=ordered, window=window, return_exceptions=return_exceptions,
                on_progress=on_progress, progress=progress,
            ),
        )  # fmt: skip

    def _submit(self, task: Task) -> AsyncJobFuture[R]:
        task._observe()
        self._client._start(task)
        return AsyncJobFuture(self._client, task, self.decode, self._options.get("progress", False))
