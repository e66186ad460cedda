"""A `concurrent.futures` executor whose pool is whatever workers there are."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from concurrent.futures import Executor as BaseExecutor
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, overload

from ..errors import ConnectionLostError
from .blocking import Client
from .functions import known
from .group import Group
from .record import Workload
from .states import RUNNING
from .steps import Steps, Wait
from .task import Task
from .typed import Known, Options, TypedFunction

if TYPE_CHECKING:
    from ..codecs import Codec
    from ..signature import JobParameter

    J = TypeVar("J", bound=JobParameter)

P = ParamSpec("P")
R = TypeVar("R")


class ExecutorFuture(Future[R]):
    """A future of `concurrent.futures`; in a coroutine it can be awaited as well."""

    def __init__(self, executor: Executor, task: Task) -> None:
        super().__init__()
        self._executor = executor
        self.task = task
        """The task behind it, with its handle, its times and everything else that is known."""

    def cancel(self) -> bool:
        """Stop waiting for the job; false if it has ended already. The job itself can't be taken back."""
        if not self._executor._take(self.task):
            return self.cancelled()
        self._executor.client._cancel(self.task)
        # Without any lock: it calls callbacks, which may do what they like.
        super().cancel()
        self.set_running_or_notify_cancel()
        return True

    def running(self) -> bool:
        """Whether a worker has told something of the job. Most tell nothing before they are done."""
        return self.task.state is RUNNING

    def __await__(self) -> Generator[Any, Any, R]:
        return asyncio.wrap_future(self).__await__()


class ExecutorFunction(TypedFunction[P, R]):
    """A function that workers do, as `Executor.function` returns it."""

    def __init__(self, executor: Executor, signature: Known, options: Options) -> None:
        super().__init__(executor.client, signature, options)
        self._executor = executor

    def submit(self, *args: P.args, **keywords: P.kwargs) -> ExecutorFuture[R]:  # type: ignore[override]
        """Have it done meanwhile: returns a future of `concurrent.futures`."""
        return self._executor._submit(self, self._task(args, keywords))


class Executor(BaseExecutor):
    """Code for a pool of processes, on workers anywhere: only the line that makes the pool changes.

        with Executor("127.0.0.1:4730") as pool:
            print(list(pool.map(area, rectangles)))

    What `concurrent.futures` says of executors holds: futures end by themselves, call their callbacks, and
    can be waited for with `as_completed`; `asyncio` takes it for `run_in_executor`. A thread reads for it.

    A function that is submitted has to be one that workers have, so it is one that was declared with
    `@worker.function`, or a name. Arguments and results travel as its codec has it; nothing is pickled unless
    the function says so.

    Args:
        servers, options: as for `Client`.
    """

    def __init__(self, servers: str | Iterable[str] | None = None, **options: Any) -> None:
        self.client = Client(servers, **options)
        """The client that submits."""
        self._lock = threading.RLock()
        self._group = Group()
        self._group.ended = deque()
        self._futures: dict[Task, tuple[ExecutorFuture[Any], Callable[[bytes], Any]]] = {}
        self._thread: threading.Thread | None = None
        self._shut = False
        _executors.add(self)

    @overload
    def function(self, function: str) -> ExecutorFunction[[Workload], bytes]: ...
    @overload
    def function(
        self, function: Callable[Concatenate[J, P], Coroutine[Any, Any, R]], *, name: str = "",
        codec: Codec | None = None,
    ) -> ExecutorFunction[P, R]: ...  # fmt: skip
    @overload
    def function(
        self, function: Callable[Concatenate[J, P], R], *, name: str = "", codec: Codec | None = None
    ) -> ExecutorFunction[P, R]: ...
    @overload
    def function(
        self, function: Callable[P, Coroutine[Any, Any, R]], *, name: str = "", codec: Codec | None = None
    ) -> ExecutorFunction[P, R]: ...
    @overload
    def function(
        self, function: Callable[P, R], *, name: str = "", codec: Codec | None = None
    ) -> ExecutorFunction[P, R]: ...
    def function(
        self, function: str | Callable[..., Any], *, name: str = "", codec: Codec | None = None
    ) -> ExecutorFunction[Any, Any]:
        """A function that workers do, to be called from here; see `Client.function`."""
        return ExecutorFunction(self, *known(function, name, codec))

    def submit(self, fn: Callable[P, R], /, *args: P.args, **keywords: P.kwargs) -> Future[R]:
        """Submit a job; returns a future for what `fn` gives.

        Raises:
            TypeError: no worker can be expected to have the function, or it can't be called like that.
            RuntimeError: the executor was shut down.
            others: as for `Client.submit`.
        """
        if not isinstance(fn, str | TypedFunction):
            from ..signature import declared

            if declared(fn) is None:
                raise TypeError(
                    f"{fn!r} is not declared with @worker.function, so no worker can be expected to have it"
                )
        function: ExecutorFunction[P, R] = ExecutorFunction(self, *known(fn, "", None))
        return function.submit(*args, **keywords)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs, and close the connections when those that were submitted have ended.

        Args:
            wait: return when that is so.
            cancel_futures: stop waiting for the jobs that have not ended.
        """
        with self._lock:
            self._shut = True
            futures = [future for future, _ in self._futures.values()]
            thread = self._thread
        if cancel_futures:
            for future in futures:
                future.cancel()
        self._close_if_done()
        if not wait or thread is threading.current_thread():
            return
        if thread is None:
            # Perhaps another thread is submitting the first job just now, and then has a thread read.
            wait_for(futures)
        else:
            thread.join()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.shutdown)

    # What `map` of the base class does, and what functions of this executor do

    def _submit(self, function: TypedFunction[P, R], task: Task) -> ExecutorFuture[R]:
        future: ExecutorFuture[R] = ExecutorFuture(self, task)
        with self._lock:
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._futures[task] = future, function.decode
        task._group = self._group
        try:
            self.client.run_steps(self._sent(task))
        except BaseException:
            self._take(task)
            self._close_if_done()
            raise
        self._start_reading()
        return future

    def _sent(self, task: Task) -> Steps[None]:
        self._group.remaining += 1
        yield from self.client._send(task)

    def _start_reading(self) -> None:
        # Not before something was sent: only then can a thread that waits for the sockets be woken.
        with self._lock:
            # A fork leaves the thread with the parent.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._read, name="geartrain executor", daemon=True)
                self._thread.start()

    def _read(self) -> None:
        while not self._close_if_done():
            for task in self.client.run_steps(self._ended()):
                self._settle(task)

    def _ended(self) -> Steps[list[Task]]:
        group = self._group
        assert group.ended is not None
        while not group.ended and not self.client._engine.closed:
            yield Wait(group)
        ended = list(group.ended)
        group.ended.clear()
        return ended

    def _take(self, task: Task) -> tuple[ExecutorFuture[Any], Callable[[bytes], Any]] | None:
        """A task's future and what decodes its result, for whoever asks first: it is the one who ends it."""
        with self._lock:
            return self._futures.pop(task, None)

    def _settle(self, task: Task) -> None:
        taken = self._take(task)
        if taken is None:
            return
        future, decode = taken
        future.set_running_or_notify_cancel()
        try:
            value = decode(self.client._outcome(task))
        except BaseException as error:
            # Also what a codec or a class of the caller's raises: it is this future's, not this thread's.
            future.set_exception(error)
        else:
            future.set_result(value)

    def _close_if_done(self) -> bool:
        with self._lock:
            done = self._shut and not self._futures
        if done or self.client._engine.closed:
            self.client.close()
        return self.client._engine.closed

    def _forked(self) -> None:
        """In a forked process: no thread reads any more, and what was not finished has ended."""
        self._lock = threading.RLock()
        self._thread = None
        self._group = Group()
        self._group.ended = deque()
        futures, self._futures = self._futures, {}
        for future, _ in futures.values():
            # Callbacks are the parent's, which gets the result.
            vars(future)["_done_callbacks"].clear()
            future.set_exception(ConnectionLostError(",".join(self.client.servers), "the process was forked"))


_executors: weakref.WeakSet[Executor] = weakref.WeakSet()


def _after_fork() -> None:
    for executor in list(_executors):
        executor._forked()


# Behind that of its client, which runs before it.
os.register_at_fork(after_in_child=_after_fork)
