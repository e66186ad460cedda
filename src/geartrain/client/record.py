"""What the engine keeps of a task."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mypy_extensions import mypyc_attr

from ..units import MAX_EPOCH
from ..wire import packets as p
from ..wire.codec import bytes_of, request_head
from ..wire.parser import MAX_PACKET
from .states import NEW
from .watched import Owed

if TYPE_CHECKING:
    from .group import Group
    from .link import Link

Workload = bytes | bytearray | memoryview | str
"""What a workload may be given as; text travels as UTF-8."""

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


def _epoch_of(at: Any) -> int:
    """Return a point in time in whole seconds since the epoch, rounded up; 0 for one before."""
    if not isinstance(at, int | float | datetime):
        raise TypeError(f"at: {at!r} is neither a datetime nor a number of seconds since 1970")
    try:
        moment = at.timestamp() if isinstance(at, datetime) else at
    except (OverflowError, ValueError, OSError):
        moment = -1.0 if isinstance(at, datetime) and at.year < 1970 else MAX_EPOCH + 1.0
    if not moment <= MAX_EPOCH:
        raise ValueError(f"at: {at!r} is after the year 9999, or no number")
    return max(0, math.ceil(moment))


@mypyc_attr(allow_interpreted_subclasses=True)
class TaskRecord(Owed):
    """All that a `Task` holds, which says what each of it means. The engine is compiled and so is this."""

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
        "at",
        "background",
        "created_at",
        "denominator",
        "expires",
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

    def __init__(
        self,
        function: Any,
        workload: Any,
        unique: Any,
        priority: Any,
        background: Any,
        at: Any,
        retry_count: Any,
        timeout: Any,
        expires: Any = None,
    ) -> None:
        # Any: what is wrong is named here, in the same words whether this is compiled or not.
        super().__init__(p.JOB_CREATED)
        if not (isinstance(function, str) and isinstance(unique, str)):
            raise TypeError(f"{function!r}, {unique!r}: the names of a function and a unique are str")
        if not function or "\0" in function:
            raise ValueError(f"{function!r}: a function's name is not empty and holds no NUL")
        if "\0" in unique:
            raise ValueError(f"{unique!r}: a unique holds no NUL")
        if not (function.isascii() and unique.isascii()):
            # Here, where the caller sees it: what can't be sent must not turn up among what is being sent.
            _require_text(function, unique)
        self.function: str = function
        self.workload = bytes_of(workload)
        if len(self.workload) > LARGEST_WORKLOAD:
            raise ValueError(f"{len(self.workload)} bytes: the largest workload is {LARGEST_WORKLOAD} bytes")
        self.unique: str = unique
        self.background = bool(background)
        # The type of the packet that submits it.
        self._type = (_BACKGROUND if background else _FOREGROUND).get(priority, 0)
        if not self._type:
            raise ValueError(f"{priority!r}: the priority is 'high', 'normal' or 'low'")
        self.priority: str = priority
        self.at: int | None = None
        if at is not None:
            if not background or priority != "normal":
                raise ValueError("at: only a background task of normal priority can be put off")
            self.at = _epoch_of(at)
            self._type = p.SUBMIT_JOB_EPOCH
        # A time limit of NaN, which is not below 0 either, would put the others out of order.
        if not isinstance(retry_count, int):
            raise TypeError(f"{retry_count!r}: retry_count is a whole number")
        if not (timeout is None or isinstance(timeout, int | float)):
            raise TypeError(f"{timeout!r}: timeout is a number of seconds, or None")
        if retry_count < 0 or (timeout is not None and not timeout >= 0):
            raise ValueError(f"retry_count and timeout are at least 0, not {retry_count!r} and {timeout!r}")
        self.retry_count: int = retry_count
        self.timeout: float | None = timeout
        if not (expires is None or isinstance(expires, int | float)):
            raise TypeError(f"{expires!r}: expires is a number of seconds, or None")
        if expires is not None and not 0 < expires < math.inf:
            raise ValueError(f"expires is above 0 and finite, not {expires!r}")
        self.expires: float | None = expires

        self.state = NEW
        self.result: bytes | None = None
        self.retries = 0
        self.numerator = 0
        self.denominator = 0
        self.submitted_at: float | None = None
        self.created_at: float | None = None
        self.started_at: float | None = None
        self.finished_at: float | None = None

        # The link it was given to or may only be given to, its handle there, the number of the connection
        # attempt after which it came, how many connections it has lost, and its time limit.
        self._link: Link | None = None
        self._pinned: Link | None = None
        self._handle = b""
        self._since = 0
        self._losses = 0
        self._deadline: float | None = None
        # The set that it is in; data for a future's iterator.
        self._group: Group | None = None
        self._chunks: deque[bytes] | None = None
        self._callbacks: dict[str, Callable[..., object]] | None = None

    def _observe(self) -> None:
        # A future will want to know all that is told of it.
        self._is_observed = True
        self._chunks = deque()

    @property
    def handle(self) -> str:
        """The job's handle on its server, "" until the server has given it one; a retry gets a new one."""
        return self._handle.decode("utf-8", "replace")


def packet_of(task: TaskRecord, prefix: bytes) -> bytes:
    """The packet that submits a task."""
    name = task.function.encode("utf-8", "surrogateescape")
    if prefix:
        name = prefix + name
    middle = task.unique.encode("utf-8", "surrogateescape")
    if task.at is not None:
        middle = b"%b\0%d" % (middle, task.at)
    workload = task.workload
    # In one step: a workload may be large, and is copied once.
    head = request_head(task._type, len(name) + 1 + len(middle) + 1 + len(workload))
    return b"%b%b\0%b\0%b" % (head, name, middle, workload)
