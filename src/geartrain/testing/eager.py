"""Clients that need no server and no worker process: the caller runs the functions itself, at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from ..client import AsyncClient, Client
from ..client.base import BaseClient
from ..client.link import Link
from ..client.steps import Invoke, Steps
from ..worker import Worker, forks
from ..worker.hooks import Hooks
from ..worker.outcome import outcome_of, outcome_of_coroutine
from .local import Assigned, Local, SubmittedJob

T = TypeVar("T")


class Eager:
    """What `EagerClient` and `AsyncEagerClient` have beside what clients have."""

    _local: Local
    _due: deque[Assigned]
    # The hooks of the workers of which a job was run.
    _started: list[Hooks]

    @property
    def jobs(self) -> list[SubmittedJob]:
        """What was submitted so far, in this order."""
        return self._local.jobs

    def calls(self, function: Callable[..., Any]) -> list[dict[str, Any]]:
        """The arguments of each job of a typed function that was submitted so far, by name."""
        return self._local.calls(function, _client(self)._engine._prefix)

    def answer(self, function: str | Callable[..., Any], value: Any) -> None:
        """Answer the jobs of a function that none of the workers has, with what it is to return."""
        self._local.answer(function, value, _client(self)._engine._prefix)

    def _exchange(self) -> bool:
        """Hand over what the client has to send, and take the answers; whether there was anything."""
        client = _client(self)
        engine = client._engine
        while engine.wanted:
            engine.connected(engine.wanted.pop(0), client._now())
        engine.unwanted.clear()
        exchanged = False
        for link in engine.links:
            while data := engine.outgoing(link, client._now()):
                self._due += self._local.take(data, partial(self._receive, link))
                exchanged = True
        return exchanged

    def _begin_work(self, hooks: Hooks) -> None:
        """A job of a worker is about to run."""
        if hooks not in self._started:
            if not self._started:
                forks.hold(self)
            self._started.append(hooks)
            hooks.started()

    def _end_work(self) -> None:
        """There are no more jobs."""
        for hooks in self._started:
            hooks.stopped(at_once=False)
        self._started.clear()
        forks.release(self)

    def forked(self) -> list[int]:
        """In a forked process: no descriptors, an eager client has no connections."""
        return []

    def _receive(self, link: Link, packet: bytes) -> None:
        client = _client(self)
        client._engine.received(link, packet, client._now())


class EagerClient(Eager, Client):
    """A client whose jobs are run by the caller, at once, by the functions of the workers that it is given.

        client = EagerClient(tasks.worker)
        assert client.function(tasks.add)(2, 3) == 5
        assert client.calls(tasks.add) == [{"a": 2, "b": 3}]

    Everything a `Client` has is there; arguments and results go through the functions' codecs; events,
    failures and callbacks come as from a real job server. Without any worker it is a mere recorder:
    background jobs are acknowledged and remembered, and foreground jobs get what was set with `answer`, or
    else are refused with `ServerError` NO_WORKER. Delayed jobs run at once; jobs never coalesce and don't
    time out.

    A worker's hooks are called: those of `on_start` before its first job, those of `on_stop` by `close`, the
    others around each job. Hooks that are coroutine functions are for the `AsyncEagerClient`.

    Args:
        workers: whose functions to run. They need not, and do not, run themselves.
        options: as for `Client`, but without servers.
    """

    def __init__(self, *workers: Worker, **options: Any) -> None:
        self._local = Local(workers)
        self._due = deque()
        self._started = []
        super().__init__("eager", **options)
        # A function may use the client that it is run by.
        self._all = threading.RLock()

    def _prepare(self) -> None:
        super()._prepare()
        self._shell = self

    def run_steps(self, steps: Steps[T]) -> T:
        """Run steps to their end, and all jobs that are due."""
        with self._all:
            try:
                while True:
                    try:
                        step = next(steps)
                    except StopIteration as stop:
                        result: T = stop.value
                        break
                    if isinstance(step, Invoke):
                        step.function(*step.arguments)
                    elif not self._advance():
                        self._wait_for(step.deadline)
                while self._advance():
                    pass
                return result
            finally:
                steps.close()

    def _advance(self) -> bool:
        """Submit what is to be submitted, or run the next job; false if there is neither."""
        exchanged = self._exchange()
        self._engine.news.clear()
        if not self._due:
            return exchanged
        assigned = self._due.popleft()
        self._begin_work(assigned.hooks)
        self._local.ended(assigned, outcome_of(assigned.function, assigned.job, assigned.hooks, _finish))
        return True

    def _wait_for(self, deadline: float | None) -> None:
        if deadline is None:
            raise RuntimeError("this would wait for ever: no job is due that could end it")
        time.sleep(max(deadline - self._now(), 0.0))

    def close(self) -> None:
        """End it, as `Client.close` does."""
        self._engine.close(self._now())
        self._end_work()

    def _look(self) -> None:
        """Nothing: all that there is to see was seen."""


class AsyncEagerClient(Eager, AsyncClient):
    """As `EagerClient`, in asyncio: coroutine functions run as tasks of the caller's loop, others at once."""

    def __init__(self, *workers: Worker, **options: Any) -> None:
        self._local = Local(workers)
        self._due = deque()
        self._started = []
        self._loops: dict[Hooks, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()
        super().__init__("eager", **options)

    def _settle(self) -> None:
        self._settling = False
        self._exchange()
        while self._due:
            assigned = self._due.popleft()
            self._begin_work(assigned.hooks)
            if assigned.function.is_coroutine:
                running = asyncio.get_running_loop().create_task(self._run(assigned))
                self._running.add(running)
                running.add_done_callback(self._running.discard)
            else:
                outcome = outcome_of(assigned.function, assigned.job, assigned.hooks, _finish)
                self._local.ended(assigned, outcome)
        self._wake_waiters()
        self._set_timer(self._now())

    async def _run(self, assigned: Assigned) -> None:
        hooks = assigned.hooks
        if hooks not in self._loops:
            self._loops[hooks] = asyncio.get_running_loop().create_task(hooks.started_loop())
        await asyncio.shield(self._loops[hooks])
        outcome = await outcome_of_coroutine(assigned.function, assigned.job, assigned.hooks)
        self._local.ended(assigned, outcome)
        self._wake_waiters()

    async def close(self) -> None:
        """End it, as `AsyncClient.close` does; coroutines that run still are cancelled."""
        self._engine.close(self._now())
        self._wake_waiters()
        for running in list(self._running):
            running.cancel()
        await asyncio.gather(*self._running, *self._loops.values(), return_exceptions=True)
        for hooks in self._loops:
            await hooks.stopped_loop()
        self._loops.clear()
        self._end_work()
        if self._timer is not None:
            self._timer.cancel()


def _client(eager: Eager) -> BaseClient[Any]:
    assert isinstance(eager, BaseClient)
    return eager


def _finish(awaitable: Awaitable[object]) -> object:
    """Bring a coroutine to its end, from a plain function; the caller's own loop may be running meanwhile."""
    results: list[object] = []
    errors: list[BaseException] = []

    async def finish() -> None:
        try:
            results.append(await awaitable)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(finish()))
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
