"""A foreground job that was submitted, as a handle on what will become of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import GeartrainError
from .methods import Awaited, Blocking, call, plain_methods
from .progress import REDRAW_AFTER, Bar
from .states import CREATED, RUNNING, TaskState
from .steps import Steps, Wait
from .task import JobStatus, Task

if TYPE_CHECKING:
    from .asynchronous import AsyncClient  # noqa: F401 - named in a base's brackets
    from .base import BaseClient
    from .blocking import Client  # noqa: F401

X = TypeVar("X", bound="BaseClient[Any]")
R = TypeVar("R")


class BaseFuture(Generic[X, R]):
    """What `JobFuture` and `AsyncJobFuture` have in common.

    `R` is what a result is: bytes, or what a typed function's caller is to have of them.
    """

    __slots__ = ("_client", "_decode", "_progress", "_shell", "task")

    def __init__(self, client: X, task: Task, decode: Callable[[bytes], R], progress: bool = False) -> None:
        self._client = client
        self._decode = decode
        self._progress = progress
        self._shell: Any = client._shell
        self.task = task
        """The task behind it, with its times and everything else that is known."""

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.task.function} {self.task.handle or '-'} {self.task.state.value}>"
        )

    @call
    def result(self, timeout: float | None = None) -> Steps[R]:
        """Wait for the job's result and return it.

        Args:
            timeout: seconds to wait at most; None leaves it to the `timeout` that the job or the client has.
                When they have passed the job goes on, and you may ask again.

        Raises:
            JobFailed: the job failed; JobException: it ended with an exception, whose text this carries.
            ServerError: the server refused the job; `.code` holds its reason, such as `QUEUE_ERROR`.
            NoServersError: its server was lost, and no other could be reached.
            WaitTimeoutError: `timeout` seconds, or those that the job itself was given, have passed.
            ClosedError: the client was closed, or `cancel` was called.
            ResultError: the result is not what the typed function declares.
        """
        yield from self._ended(timeout)
        return self._decode(self._client._outcome(self.task))

    @call
    def exception(self, timeout: float | None = None) -> Steps[GeartrainError | None]:
        """Wait for the job's end; returns what `result` would raise, None if there is a result.

        Raises:
            WaitTimeoutError: `timeout` seconds have passed, and the job goes on.
        """
        yield from self._ended(timeout)
        return self._client._failure(self.task)

    @call
    def created(self, timeout: float | None = None) -> Steps[str]:
        """Wait until the job server has acknowledged the job; returns its handle.

        Raises:
            What `result` raises, if the job ended before.
        """
        task = self.task
        deadline = self._client._deadline(timeout)
        while not task._handle and not task.done:
            yield from self._client._wait(task, deadline, "not acknowledged")
        if not task._handle:
            self._client._outcome(task)
        return task.handle

    def done(self) -> bool:
        """Whether the job has ended, well or not. Does not wait, but reads what has come."""
        self._client._look()
        return self.task.done

    def cancelled(self) -> bool:
        """Whether `cancel` was called in time."""
        return self.task.state is TaskState.CANCELLED

    def cancel(self) -> bool:
        """Stop waiting for the job; false if it has ended already.

        The Gearman protocol can't take back a job that was sent, so it may still run.
        """
        return self._client._cancel(self.task)

    @property
    def handle(self) -> str:
        """The job's handle, "" until the server has given it one (see `created`)."""
        self._client._look()
        return self.task.handle

    @property
    def status(self) -> JobStatus:
        """How far the job is, as far as its worker has told. Does not wait, but reads what has come.

        `client.status(future.handle)` asks the server.
        """
        self._client._look()
        return self._told()

    def _told(self) -> JobStatus:
        task = self.task
        alive = task.state is CREATED or task.state is RUNNING
        return JobStatus(alive, task.state is RUNNING, task.numerator, task.denominator)

    @call
    def _next_status(self, before: tuple[int, int], timeout: float | None) -> Steps[JobStatus | None]:
        task = self.task
        deadline = self._client._deadline(timeout)
        while (task.numerator, task.denominator) == before:
            if task.done:
                if task.failure is not None:
                    raise task.failure
                return None
            yield from self._client._wait(task, deadline, "no status")
        return self._told()

    @call
    def _next_chunk(self, timeout: float | None) -> Steps[bytes | None]:
        task = self.task
        deadline = self._client._deadline(timeout)
        while not task._chunks:
            if task.done:
                if task.failure is not None:
                    raise task.failure
                return None
            yield from self._client._wait(task, deadline, "no data")
        return task._chunks.popleft()

    def _ended(self, timeout: float | None) -> Steps[None]:
        task, deadline = self.task, self._client._deadline(timeout)
        if self._progress and not task.done:
            yield from self._ended_with_bar(deadline)
        while not task.done:
            yield from self._client._wait(task, deadline, "no result")

    def _ended_with_bar(self, deadline: float | None) -> Steps[None]:
        client, task, bar = self._client, self.task, Bar(transient=False)
        try:
            while not task.done and not client._passed(deadline):
                bar.draw(task.function, task.numerator, task.denominator)
                redraw = client._now() + REDRAW_AFTER
                client._before(deadline, [task])
                yield Wait(task, redraw if deadline is None else min(deadline, redraw))
        finally:
            total = task.denominator or 1
            bar.draw(task.function, total if task.result is not None else task.numerator, total, last=True)
            bar.clear()


@plain_methods
class JobFuture(BaseFuture["Client", R], Blocking):
    """A foreground job that `Client.submit` has queued. It may be asked from any thread.

    In a coroutine `await future` gives its result; meanwhile a thread waits for it.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, R]:
        return asyncio.to_thread(self.result).__await__()

    def data(self, timeout: float | None = None) -> Iterator[bytes]:
        """Iterate over the data that the worker sends before its result, as it comes, each piece once.

        The iteration ends with the job; if the job did not end well it raises what `result` would. Pieces
        that nobody has asked for are kept in memory. A job that was done anew, since its server was lost or
        its task retried, sends its pieces anew.

        Args:
            timeout: seconds that each piece may take.
        """
        while (chunk := self._next_chunk(timeout)) is not None:
            yield chunk

    def statuses(self, timeout: float | None = None) -> Iterator[JobStatus]:
        """Iterate over the statuses that the worker sends, as they come; ends with the job, as `data` does.

        What came faster than it was asked for is left out: each time it is the newest.

        Args:
            timeout: seconds that each may take.
        """
        before = (0, 0)
        while (status := self._next_status(before, timeout)) is not None:
            before = status.numerator, status.denominator
            yield status


@plain_methods
class AsyncJobFuture(BaseFuture["AsyncClient", R], Awaited):
    """A foreground job that `AsyncClient.submit` has queued. `await future` gives its result."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, R]:
        return self.result().__await__()

    async def data(self, timeout: float | None = None) -> AsyncIterator[bytes]:  # noqa: ASYNC109
        """Iterate over the data that the worker sends before its result, as it comes, each piece once.

        The iteration ends with the job; if the job did not end well it raises what `result` would. Pieces
        that nobody has asked for are kept in memory. A job that was done anew, since its server was lost or
        its task retried, sends its pieces anew.

        Args:
            timeout: seconds that each piece may take.
        """
        while (chunk := await self._next_chunk(timeout)) is not None:
            yield chunk

    async def statuses(self, timeout: float | None = None) -> AsyncIterator[JobStatus]:  # noqa: ASYNC109
        """Iterate over the statuses that the worker sends, as they come; ends with the job, as `data` does.

        What came faster than it was asked for is left out: each time it is the newest.

        Args:
            timeout: seconds that each may take.
        """
        before = (0, 0)
        while (status := await self._next_status(before, timeout)) is not None:
            before = status.numerator, status.denominator
            yield status
