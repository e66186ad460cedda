"""The blocking shell: sockets and a lock, no thread."""

from __future__ import annotations

import os
import weakref
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, TypeVar

from .calls import Calls
from .functions import Functions
from .futures import JobFuture
from .group import Group
from .methods import Blocking, plain_methods
from .steps import Steps, Wait
from .task import Task
from .turns import Turns

T = TypeVar("T")


@plain_methods
class Client(Calls["JobFuture[bytes]"], Functions, Blocking):
    """Submits jobs and waits for them, blocking the thread that calls.

        with Client("127.0.0.1:4730") as client:
            print(client.run("reverse", b"hello"))

    One client may be used by several threads at once: they share its connections, and whichever waits at
    the moment reads for all of them. There is no hidden thread, so a future makes progress only while some
    call to the client waits. After a fork the child begins with connections of its own, and futures from
    before it end there with ConnectionLostError.
    """

    def close(self) -> None:
        """Close all connections. What was not finished ends with ClosedError; a second call does nothing.

        The job servers drop foreground jobs that are still queued and that nobody else waits for.
        """
        self._turns.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # In a coroutine it may be used too: its futures and results can be awaited.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def run_steps(self, steps: Steps[T]) -> T:
        """Run steps to their end, moving bytes while they wait."""
        return self._turns.run_steps(steps)

    # What the calls need

    def _prepare(self) -> None:
        # The shell of its calls: whose turn it is to move bytes is no business of this class.
        self._shell = self._turns = Turns(self._engine)
        _clients.add(self)

    def _future(self, task: Task, progress: bool) -> JobFuture[bytes]:
        return JobFuture(self, task, bytes, progress)

    def _guard(self) -> AbstractContextManager[object]:
        return self._turns.lock

    def _wake_waiters(self) -> None:
        self._turns.wake_waiters()

    def _wake_leader(self) -> None:
        self._turns.wake_leader()

    def _look(self) -> None:
        self.run_steps(self._glance())

    def _glance(self) -> Steps[None]:
        if not self._turns.leading:
            yield Wait(Group(), self._now())


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork() -> None:
    for client in _clients:
        client._turns.forked()


os.register_at_fork(after_in_child=_after_fork)
