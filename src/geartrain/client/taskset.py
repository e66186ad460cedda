"""Many tasks at once, with callbacks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import NoServersError
from .group import Group
from .methods import Awaited, Blocking, call, plain_methods
from .progress import REDRAW_AFTER, Bar, part_of
from .states import CREATED, NEW, SUCCEEDED
from .steps import Invoke, Steps, Wait
from .task import Task

if TYPE_CHECKING:
    from .asynchronous import AsyncClient  # noqa: F401 - named in a base's brackets
    from .base import BaseClient
    from .blocking import Client  # noqa: F401

X = TypeVar("X", bound="BaseClient[Any]")


class BaseTaskSet(Generic[X]):
    """What `TaskSet` and `AsyncTaskSet` have in common."""

    def __init__(self, client: X) -> None:
        self._client = client
        self._shell: Any = client._shell
        self._group = Group()
        self._new: deque[Task] = deque()
        # Tasks without a server, of which a `wait` has told.
        self._told: set[Task] = set()
        self.tasks: list[Task] = []
        """All tasks that were added, in this order."""

    def __len__(self) -> int:
        return len(self.tasks)

    def add(self, task: Task) -> Task:
        """Add a task; it is sent with the next `wait`, or at once if that goes on. Returns the task.

        Callbacks may add further tasks to the set that they are called for.

        Raises:
            ValueError: the task was added before, here or to another set.
        """
        if task.state is not NEW or task._group is not None:
            raise ValueError(f"{task!r} was added before; make a new one")
        task._group = self._group
        self._group.remaining += 1
        self._new.append(task)
        self.tasks.append(task)
        return task

    @call
    def wait(self, timeout: float | None = None, *, progress: bool = False) -> Steps[bool]:
        """Send what was added and wait until all tasks have ended; says whether all of them succeeded.

        The tasks of a set are written one after the other without waiting for answers between them, so
        thousands take a few round trips. Callbacks are called from here; an exception that one raises comes
        out of `wait`, and another `wait` goes on with the rest.

        Args:
            timeout: seconds to wait at most; 0 only does what can be done at once. When they have passed the
                tasks that are left go on, and another `wait` goes on waiting for them. None leaves it to the
                client's `timeout` and those of the tasks.
            progress: show a bar on standard error, if that is a terminal: tasks that have ended, and the
                parts of which the workers have told.

        Returns:
            True if every foreground task has a result and every background task was acknowledged. False if
            one failed, timed out or has not ended; its `state` and `failure` say which and why.

        Raises:
            NoServersError: a task was given up since no job server could be reached. Of each such task one
                `wait` tells like this; for a later one it is a failure like any other.
            ClosedError: the client was closed before all tasks were given to it. Those that were not stay
                new, and another `wait` tries again to submit them.
        """
        deadline = self._client._deadline(timeout)
        bar = Bar(transient=False) if progress else None
        try:
            if not (yield from self._ended(deadline, bar)):
                return False
        finally:
            if bar is not None:
                bar.draw("tasks", sum(map(part_of, self.tasks)), len(self.tasks), last=True)
                bar.clear()
        lost = [task for task in self.tasks if isinstance(task.failure, NoServersError)]
        new = [task for task in lost if task not in self._told]
        self._told.update(new)
        for task in new:
            assert task.failure is not None
            raise task.failure
        return all(task.state is SUCCEEDED or task.state is CREATED for task in self.tasks)

    def _ended(self, deadline: float | None, bar: Bar | None, asks_why: bool = False) -> Steps[bool]:
        client, group = self._client, self._group
        looked = False
        while True:
            client._submit_all(self._new)
            while group.calls:
                yield Invoke(*group.calls.popleft())
            if self._new:
                continue
            if not group.remaining:
                return True
            # With a time-out of zero, too, what can be done at once is done.
            if looked and client._passed(deadline):
                return False
            looked = True
            until = deadline
            if asks_why:
                until = client._before(deadline, self._late())
            if bar is None:
                yield Wait(group, until)
            else:
                bar.draw("tasks", sum(map(part_of, self.tasks)), len(self.tasks))
                redraw = client._now() + REDRAW_AFTER
                yield Wait(group, redraw if until is None else min(until, redraw))

    def _late(self) -> Iterator[Task]:
        """A task of each function of which one has not ended."""
        functions = {task.function: task for task in self.tasks if not task.done}
        yield from functions.values()


@plain_methods
class TaskSet(BaseTaskSet["Client"], Blocking):
    """Tasks that are sent together and waited for together.

    tasks = TaskSet(client)
    for name in names:
        tasks.add(Task("resize", name, on_complete=lambda task, result: print(len(result))))
    if not tasks.wait(timeout=60):
        print([task.failure for task in tasks.tasks if task.failure])
    """


@plain_methods
class AsyncTaskSet(BaseTaskSet["AsyncClient"], Awaited):
    """Tasks that are sent together and waited for together, as `TaskSet`, in asyncio.

    `wait` is awaited. Callbacks may be coroutine functions; each is awaited before the next is called.
    """
