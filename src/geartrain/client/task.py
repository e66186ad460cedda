"""A task: a job as the client sees it, from the words of the caller to how it ended."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from ..errors import GeartrainError
from ..wire import packets as p
from ..wire.codec import bytes_of
from ..wire.parser import MAX_PACKET

if TYPE_CHECKING:
    from .group import Group
    from .link import Link

Workload = bytes | bytearray | memoryview | str
"""What a workload may be given as; text travels as UTF-8."""

C = TypeVar("C", bound=Callable[..., object])


class Priority(StrEnum):
    """How soon a queued job is handed out; the plain words `"high"`, `"normal"` and `"low"` do too."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class TaskState(Enum):
    """Where a task is on its way; the value is the word for people."""

    NEW = "new"
    """Made, and given to no client yet."""
    WAITING = "waiting"
    """Given to a client, not sent yet: it waits for a connection or for its turn."""
    SUBMITTED = "submitted"
    """Sent, not acknowledged yet."""
    CREATED = "created"
    """The job server has it and gave it a handle. For a background task this is the end."""
    RUNNING = "running"
    """A worker has sent data, a warning or a status for it; one that sends none of these is not noticed."""
    SUCCEEDED = "succeeded"
    """It has a result."""
    FAILED = "failed"
    """It has none and will get none; `failure` says why."""
    TIMED_OUT = "timed out"
    """Its `timeout` passed. The job itself may go on."""
    CANCELLED = "cancelled"
    """Nobody waits for it any more. The job itself may go on."""


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


NEW: Final = TaskState.NEW
WAITING: Final = TaskState.WAITING
SUBMITTED: Final = TaskState.SUBMITTED
CREATED: Final = TaskState.CREATED
RUNNING: Final = TaskState.RUNNING
SUCCEEDED: Final = TaskState.SUCCEEDED
FAILED: Final = TaskState.FAILED

# The packet that submits a task, by priority, in the foreground and in the background.
_FOREGROUND: Final = {"high": p.SUBMIT_JOB_HIGH, "normal": p.SUBMIT_JOB, "low": p.SUBMIT_JOB_LOW}
_BACKGROUND: Final = {"high": p.SUBMIT_JOB_HIGH_BG, "normal": p.SUBMIT_JOB_BG, "low": p.SUBMIT_JOB_LOW_BG}


LARGEST_WORKLOAD: Final = MAX_PACKET - 1024
"""Bytes; names and what else is in its packet have room beside it."""


def _require_text(*texts: str) -> None:
    for text in texts:
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError(f"{text!r}: half of a surrogate pair can't be sent") from None


class Task:
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
            whatever its `retry_count`; the job server and the worker are not told. None for no limit.
        on_created ... on_complete: what is called then; see the methods of the same names.

    Raises:
        ValueError: an argument can't be sent; the message says which and why.

    A task is used once. Its attributes may be read at any time:

    Attributes:
        state: a `TaskState`.
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

    __slots__ = (
        "_callbacks",
        "_chunks",
        "_deadline",
        "_group",
        "_handle",
        "_link",
        "_losses",
        "_pinned",
        "_since",
        "_type",
        "_waiters",
        "at",
        "background",
        "created_at",
        "denominator",
        "done",
        "failure",
        "finished_at",
        "function",
        "numerator",
        "priority",
        "result",
        "retries",
        "retry_count",
        "started_at",
        "state",
        "submitted_at",
        "timeout",
        "unique",
        "workload",
    )

    # What answers it on the wire.
    _answer: Final = p.JOB_CREATED

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
        on_created: Callable[[Task], object] | None = None,
        on_data: Callable[[Task, bytes], object] | None = None,
        on_status: Callable[[Task, int, int], object] | None = None,
        on_warning: Callable[[Task, bytes], object] | None = None,
        on_exception: Callable[[Task, bytes], object] | None = None,
        on_fail: Callable[[Task, GeartrainError], object] | None = None,
        on_retry: Callable[[Task, int], object] | None = None,
        on_complete: Callable[[Task, bytes], object] | None = None,
    ) -> None:
        if not (isinstance(function, str) and isinstance(unique, str)):
            raise TypeError(f"{function!r}, {unique!r}: the names of a function and a unique are str")
        if not function or "\0" in function:
            raise ValueError(f"{function!r}: a function's name is not empty and holds no NUL")
        if "\0" in unique:
            raise ValueError(f"{unique!r}: a unique holds no NUL")
        if not (function.isascii() and unique.isascii()):
            # Here, where the caller sees it: what can't be sent must not turn up among what is being sent.
            _require_text(function, unique)
        self.function = function
        self.workload = bytes_of(workload)
        if len(self.workload) > LARGEST_WORKLOAD:
            raise ValueError(f"{len(self.workload)} bytes: the largest workload is {LARGEST_WORKLOAD} bytes")
        self.unique = unique
        self.priority = priority
        self.background = background
        self.at: int | None = None
        type = (_BACKGROUND if background else _FOREGROUND).get(priority)
        if type is None:
            raise ValueError(f"{priority!r}: the priority is 'high', 'normal' or 'low'")
        if at is not None:
            if not background or priority != "normal":
                raise ValueError("at: only a background task of normal priority can be put off")
            self.at = max(0, math.ceil(at.timestamp() if isinstance(at, datetime) else at))
            type = p.SUBMIT_JOB_EPOCH
        # A time limit of NaN, which is not below 0 either, would put the others out of order.
        if retry_count < 0 or (timeout is not None and not timeout >= 0):
            raise ValueError(f"retry_count and timeout are at least 0, not {retry_count!r} and {timeout!r}")
        self._type = type
        self.retry_count = retry_count
        self.timeout = timeout

        self.state = NEW
        self.done = False
        self.result: bytes | None = None
        self.failure: GeartrainError | None = None
        self.retries = 0
        self.numerator = 0
        self.denominator = 0
        self.submitted_at: float | None = None
        self.created_at: float | None = None
        self.started_at: float | None = None
        self.finished_at: float | None = None

        # For the engine: the link it was given to or may only be given to, its handle there, the number of
        # the connection attempt after which it came, how many connections it has lost, and its time limit.
        self._link: Link | None = None
        self._pinned: Link | None = None
        self._handle = b""
        self._since = 0
        self._losses = 0
        self._deadline: float | None = None
        # Who waits for a change of it; the set that it is in; data for a future's iterator.
        self._waiters: list[Any] | None = None
        self._group: Group | None = None
        self._chunks: deque[bytes] | None = None

        self._callbacks: dict[str, Callable[..., object]] | None = None
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

    @property
    def handle(self) -> str:
        """The job's handle on its server, "" until the server has given it one; a retry gets a new one."""
        return self._handle.decode("utf-8", "replace")

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

    def _body(self, prefix: bytes) -> bytes:
        """The body of the packet that submits it."""
        name = prefix + self.function.encode("utf-8", "surrogateescape")
        unique = self.unique.encode("utf-8", "surrogateescape")
        if self.at is not None:
            return b"\0".join((name, unique, b"%d" % self.at, self.workload))
        return b"\0".join((name, unique, self.workload))
