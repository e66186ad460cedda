"""How tasks go on and end: their callbacks, those who wait for them, and their time limits."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..errors import GeartrainError, WaitTimeoutError
from .inquiry import ASK_BEFORE
from .link import Question
from .record import TaskRecord
from .states import FAILED, SUCCEEDED, TaskState
from .watched import Watched

if TYPE_CHECKING:
    from .task import Task

Call: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]
"""A function of the user's, and what it is called with."""


class Life(ABC):
    """The part of the engine that tells callers what has become of their tasks.

    Args:
        wall_offset: what is added to the clock to get seconds since the epoch.
    """

    def __init__(self, wall_offset: float) -> None:
        self.news: list[Any] = []
        """Waiters for whom there is something to see. The shell wakes them and empties the list."""
        self._wall_offset = wall_offset
        # Time limits of tasks, soonest first; the number only breaks ties. Tasks that have ended leave theirs
        # behind, so the others are counted.
        self._timers: list[tuple[float, int, TaskRecord]] = []
        self._live_timers = 0
        self._timer_number = 0

    @abstractmethod
    def inquire(self, task: TaskRecord, now: float) -> None:
        """Ask a task's server why it takes so long, for `timed_out`."""

    @abstractmethod
    def timed_out(self, message: str, task: TaskRecord, now: float) -> WaitTimeoutError:
        """The error for those who waited for a task in vain, with what the server has told."""

    @abstractmethod
    def _withdraw(self, task: TaskRecord) -> None:
        """Tell a foreground task's server that nobody waits for it any more, if the server may know it."""

    # How tasks end

    def _fail(self, item: TaskRecord | Question, error: GeartrainError, now: float) -> None:
        if item.done:
            return
        if isinstance(item, TaskRecord):
            self._end(item, FAILED, error, now)
            return
        item.failure = error
        item.done = True
        if item._waiters is not None:
            self._wake(item)

    def _end(self, task: TaskRecord, state: TaskState, failure: GeartrainError | None, now: float) -> None:
        task.finished_at = now + self._wall_offset
        if failure is not None:
            task.failure = failure
        group = task._group
        call = None
        if group is not None and task._callbacks is not None:
            if failure is not None:
                call = _callback(task, "on_fail", failure)
            elif state is SUCCEEDED:
                call = _callback(task, "on_complete", task.result)
        # From here to where the group is told nothing else is called, since a signal's handler may raise
        # after a call: a task has ended for all who wait for it or for none. No group has both of the last.
        task.state = state
        task.done = True
        if group is not None:
            group.remaining -= 1
            if group.ended is not None:
                group.ended.append(cast("Task", task))  # every record in a group is one
            if call is not None:
                group.calls.append(call)
            if group._waiters is not None and (call or not group.remaining or group.ended is not None):
                self._wake(group)
        if task._deadline is not None:
            self._forget_timer(task)
        if task._waiters is not None:
            self._wake(task)
        if (state is TaskState.TIMED_OUT or state is TaskState.CANCELLED) and not task.background:
            self._withdraw(task)

    def _call(self, task: TaskRecord, name: str, *args: object) -> None:
        """A callback is due, if the task has it: whoever waits for its set calls it."""
        if task._callbacks is None:
            return
        callback = _callback(task, name, *args)
        if callback is not None:
            assert task._group is not None
            task._group.calls.append(callback)
            if task._group._waiters is not None:
                self._wake(task._group)

    def _wake(self, watched: Watched) -> None:
        if watched._waiters is not None:
            self.news += watched._waiters
            watched._waiters = None

    # Time limits

    def _set_timer(self, task: TaskRecord, deadline: float) -> None:
        task._deadline = deadline
        self._timer_number += 1
        self._live_timers += 1
        assert task.timeout is not None
        # First when the server is asked why, and then again.
        first = deadline if task.background else deadline - min(ASK_BEFORE, task.timeout / 2)
        heapq.heappush(self._timers, (first, self._timer_number, task))

    def _expire(self, now: float) -> None:
        """End the tasks whose time is over."""
        while self._timers and self._timers[0][0] <= now:
            task = self._timers[0][2]
            if task.done:
                heapq.heappop(self._timers)
            elif task._deadline is not None and task._deadline > now:
                heapq.heapreplace(self._timers, (task._deadline, self._timers[0][1], task))
                self.inquire(task, now)
            else:
                what = "not acknowledged" if task.background else "no result"
                error = self.timed_out(f"{task.function}: {what} within {task.timeout:g} s", task, now)
                self._end(task, TaskState.TIMED_OUT, error, now)

    def _next_limit(self) -> float | None:
        """When the next time limit is over."""
        while self._timers and self._timers[0][2].done:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _forget_timer(self, task: TaskRecord) -> None:
        task._deadline = None
        self._live_timers -= 1
        if len(self._timers) > 2 * self._live_timers + 1024:
            self._timers = [timer for timer in self._timers if not timer[2].done]
            heapq.heapify(self._timers)


def _callback(task: TaskRecord, name: str, *args: object) -> Call | None:
    """What is to be called, with what, if the task is in a set and has that callback."""
    if task._callbacks is None or task._group is None:
        return None
    callback = task._callbacks.get(name)
    return None if callback is None else (callback, (task, *args))
