"""A task: a job as the client sees it, from the words of the caller to how it ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from ..errors import GeartrainError
from .record import TaskRecord, Workload

C = TypeVar("C", bound=Callable[..., object])


class Priority(StrEnum):
    """How soon a queued job is handed out; the plain words `"high"`, `"normal"` and `"low"` do too."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class JobStatus(NamedTuple):
    """What is known of a job: by the job server, or for a future by what the server has told so far."""

    known: bool
    """The job is queued or running. A job that is done is not known any more."""
    running: bool
    """A worker has it."""
    numerator: int = 0
    """How far it is, as its worker reports: `numerator` of `denominator`, both 0 if it does not."""
    denominator: int = 0
    clients: int | None = None
    """How many foreground submissions wait for it; only an inquiry by unique is told."""


class Task(TaskRecord):
    """One job to be done, for a `TaskSet`.

    Args:
        function: the name that workers announce, without the client's prefix.
        workload: what the worker gets; text travels as UTF-8.
        unique: tasks with the same function and unique coalesce: while one is queued or running, the others
            share its job and its result. `"-"` makes the workload itself the unique. At most 64 bytes.
        priority: `"high"`, `"normal"` or `"low"`.
        background: nobody waits for the job; the task ends when the job server has acknowledged it.
        at: not before this time (a `datetime`, naive ones being local, or seconds since the epoch, rounded up
            to whole ones); for background tasks of normal priority. SUBMIT_JOB_EPOCH.
        retry_count: how many more times a task is submitted that failed or ended with an exception.
        timeout: seconds that the task may take from being given to a client. Then it ends as `TIMED_OUT`,
            whatever its `retry_count`. A foreground job that does not run is withdrawn then: geartrain's
            server forgets it unless others wait for it; others queue it as long as the client is connected. A
            worker that runs it is not told. None for no limit.
        expires: seconds after which the job expires on the server if no worker has taken it; only geartrain's
            server knows this, on others the job runs however late. None for never.
        on_created ... on_complete: what is called then; see the methods of the same names.

    Raises:
        ValueError: an argument can't be sent; the message says which and why.

    A task is used once. Its attributes may be read at any time:

    Attributes:
        state: a `TaskState`.
        handle: the job's handle on its server, "" until the server has given it one; a retry gets a new one.
        result: the worker's answer, None until the state is `SUCCEEDED`.
        failure: what `client.run` would have raised: `JobFailed`, `JobException`, `ServerError`,
            `WaitTimeoutError`, `NoServersError`, … None while nothing has gone wrong.
        retries: how many times it was retried.
        numerator, denominator: the last status that its worker sent.
        submitted_at: when it was given to the client, in seconds since the epoch, like all these times.
        created_at: when the job server acknowledged it.
        started_at: when a worker was first heard of; None if none sent data, a warning or a status.
        finished_at: when it ended.
    """

    __slots__ = ()

    def __init__(
        self,
        function: str,
        workload: Workload = b"",
        *,
        unique: str = "",
        priority: Priority | str = Priority.NORMAL,
        background: bool = False,
        at: datetime | float | None = None,
        retry_count: int = 0,
        timeout: float | None = None,
        expires: float | None = None,
        on_created: Callable[[Task], object] | None = None,
        on_data: Callable[[Task, bytes], object] | None = None,
        on_status: Callable[[Task, int, int], object] | None = None,
        on_warning: Callable[[Task, bytes], object] | None = None,
        on_exception: Callable[[Task, bytes], object] | None = None,
        on_fail: Callable[[Task, GeartrainError], object] | None = None,
        on_retry: Callable[[Task, int], object] | None = None,
        on_complete: Callable[[Task, bytes], object] | None = None,
    ) -> None:
        TaskRecord.__init__(
            self, function, workload, unique, priority, background, at, retry_count, timeout, expires
        )
        if on_created or on_data or on_status or on_warning:
            self._call_back(
                on_created=on_created, on_data=on_data, on_status=on_status, on_warning=on_warning
            )
        if on_exception or on_fail or on_retry or on_complete:
            self._call_back(
                on_exception=on_exception, on_fail=on_fail, on_retry=on_retry, on_complete=on_complete
            )

    def __repr__(self) -> str:
        return f"<Task {self.function} {self.handle or '-'} {self.state.value}>"

    # Callbacks. Each of these methods takes a function, as an argument or as a decorator, and returns it.
    # `TaskSet.wait` calls them; an exception that one raises comes out of `wait`.

    def on_created(self, callback: C) -> C:
        """Call `callback(task)` when the job server has acknowledged the job, each time it is submitted."""
        self._call_back(on_created=callback)
        return callback

    def on_data(self, callback: C) -> C:
        """Call `callback(task, data)` for each piece of data that the worker sends before its result."""
        self._call_back(on_data=callback)
        return callback

    def on_status(self, callback: C) -> C:
        """Call `callback(task, numerator, denominator)` for each status that the worker sends."""
        self._call_back(on_status=callback)
        return callback

    def on_warning(self, callback: C) -> C:
        """Call `callback(task, warning)` for each warning, in bytes, that the worker sends."""
        self._call_back(on_warning=callback)
        return callback

    def on_exception(self, callback: C) -> C:
        """Call `callback(task, data)` when the job ends with an exception, before `on_retry` or `on_fail`."""
        self._call_back(on_exception=callback)
        return callback

    def on_fail(self, callback: C) -> C:
        """Call `callback(task, failure)` once, when the task has ended without a result for any reason."""
        self._call_back(on_fail=callback)
        return callback

    def on_retry(self, callback: C) -> C:
        """Call `callback(task, n)` when the task failed and is submitted for the nth further time."""
        self._call_back(on_retry=callback)
        return callback

    def on_complete(self, callback: C) -> C:
        """Call `callback(task, result)` when the result is there."""
        self._call_back(on_complete=callback)
        return callback

    def _call_back(self, **callbacks: Callable[..., object] | None) -> None:
        if self._callbacks is None:
            self._callbacks = {}
        self._callbacks.update({name: call for name, call in callbacks.items() if call is not None})
