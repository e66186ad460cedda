"""One exception tree: everything that Geartrain raises on purpose is a `GeartrainError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = [
    "ArgumentError",
    "ClosedError",
    "ConfigError",
    "ConnectionLostError",
    "GeartrainError",
    "GroupError",
    "JobError",
    "JobException",
    "JobFailed",
    "JobLostError",
    "JournalError",
    "LineTooLongError",
    "MalformedPacketError",
    "NoServersError",
    "PacketTooLargeError",
    "ProtocolError",
    "ResultError",
    "ServerError",
    "TimeLimitError",
    "UnknownJobError",
    "WaitTimeoutError",
]

_HEAP_TYPE: Final = 1 << 9
"""The flag of a class that Python code has made."""


class GeartrainError(Exception):
    """The root of the tree; catch it to catch all of ours.

    Each error of the tree, and of a program's own classes under it, can be copied and pickled: text, fields,
    notes and `__cause__` stay, and no constructor is called. So an error reaches the parent of a process
    pool.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Python's own way calls the class with `args`, and `args` is rarely what a constructor takes.
        args: Any = super().__reduce__()[1]
        cause = {"__cause__": self.__cause__, "__suppress_context__": self.__suppress_context__}
        made = (type(self), _each(args, _Foreign.wrap), _each(cause, _Foreign.wrap))
        if type(self).__getstate__ is not object.__getstate__:
            return _rebuilt, made, self.__getstate__()
        state = self.__getstate__()
        # The values of `__slots__` come apart.
        fields, slots = state if isinstance(state, tuple) else (state, None)
        fields = {**(fields or {}), **(slots or {})}
        return _rebuilt, made, {name: _each(value, _Foreign.wrap) for name, value in fields.items()}

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        for name, value in (state or {}).items():
            # A frozen dataclass refuses anything else.
            object.__setattr__(self, name, _each(value, _Foreign.unwrap))


class _Foreign:
    """An exception of another library inside one of ours, on its way through `copy` or `pickle`.

    Many classes can be pickled and not unpickled, and a process pool that meets such an error hangs for ever.
    An error with their text stands in for them.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @staticmethod
    def wrap(value: Any) -> Any:
        return (
            _Foreign(value)
            if isinstance(value, BaseException) and not isinstance(value, GeartrainError)
            else value
        )

    @staticmethod
    def unwrap(value: Any) -> Any:
        return value.error if isinstance(value, _Foreign) else value

    def __reduce__(self) -> tuple[Any, ...]:
        return _Foreign, (self._portable(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Foreign:
        import copy

        try:
            return _Foreign(copy.deepcopy(self.error, memo))
        except Exception:
            return self  # an exception rarely changes, so sharing it does no harm

    def _portable(self) -> BaseException:
        import pickle

        try:
            error = pickle.loads(pickle.dumps(self.error))
        except Exception:
            error = None
        if type(error) is type(self.error) and str(error) == str(self.error):
            return self.error
        return GeartrainError(f"{type(self.error).__qualname__}: {self.error}")


def _each(value: Any, change: Any) -> Any:
    """Change a value, or each value in a plain list, tuple or dict of them."""
    if type(value) is dict:
        return {key: change(item) for key, item in value.items()}
    if type(value) is list:
        return [change(item) for item in value]
    if type(value) is tuple:
        return tuple([change(item) for item in value])
    return change(value)


def _rebuilt(cls: type[GeartrainError], args: tuple[Any, ...], cause: dict[str, Any]) -> GeartrainError:
    """Make an error of a class with these `args` and this cause, without the class's constructor."""
    built_in: Any = cls
    while built_in.__flags__ & _HEAP_TYPE:
        built_in = built_in.__base__
    args = _each(args, _Foreign.unwrap)
    error: GeartrainError = built_in.__new__(cls, *args)
    built_in.__init__(error, *args)
    GeartrainError.__setstate__(error, cause)
    return error


# On the wire


class ProtocolError(GeartrainError):
    """The other side sent bytes that are not Gearman's protocol; the connection cannot go on.

    `packets` holds the (type, body) pairs that were complete before the offending bytes.
    """

    packets: list[tuple[int, bytes]]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.packets = []


class MalformedPacketError(ProtocolError):
    """A packet was complete but its arguments were not what its type asks for."""


class PacketTooLargeError(ProtocolError):
    """A packet's header declared more bytes than the reader allows; nothing was allocated for it.

    `size` and `limit` are in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a packet of {size} bytes was announced, the limit is {limit}")
        self.size = size
        self.limit = limit


class LineTooLongError(ProtocolError):
    """A line of the text protocol did not end within the limit (`limit`, in bytes)."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a text line went past {limit} bytes without an end")
        self.limit = limit


# What was set up


class ConfigError(GeartrainError, ValueError):
    """A setting can't be understood; the message names it and the file, line, variable or flag it is from."""


# Where jobs survive


class JournalError(GeartrainError):
    """A journal could not be opened, read or written; the message says what to do about it."""


# Between a program and its job servers


class ClosedError(GeartrainError):
    """It was closed, and what was asked of it can't be done any more or was not finished."""

    def __init__(self, message: str = "the client was closed") -> None:
        super().__init__(message)


class ConnectionLostError(GeartrainError):
    """The connection to a job server broke, or the server stopped answering.

    `server` is the server's address as it was configured.
    """

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"{server}: {reason}")
        self.server = server
        self.reason = reason


class NoServersError(GeartrainError):
    """None of the job servers could be reached.

    `reasons` maps each server's address to what went wrong there.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        each = "; ".join(f"{server}: {reason}" for server, reason in reasons.items())
        super().__init__(f"no job server could be reached ({each or 'none is configured'})")
        self.reasons = dict(reasons)


class ServerError(GeartrainError):
    """The job server answered a request with an ERROR packet.

    `code` is the server's word for it, such as ``QUEUE_ERROR``; `text` is its sentence.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text


class WaitTimeoutError(GeartrainError, TimeoutError):
    """Waiting ended before the answer came; the job itself goes on.

    `function` is the name of the job's function, empty if no single one was waited for. `workers` is the
    number of connected workers that announced it, `waiting` that of its queued jobs, this one included. Both
    are None unless the job server had told by then.
    """

    def __init__(
        self, message: str, *, function: str = "", workers: int | None = None, waiting: int | None = None
    ) -> None:
        if workers is not None and waiting is not None:
            who = {0: "no worker", 1: "1 worker"}.get(workers, f"{workers} workers")
            jobs = {0: "no job waits", 1: "1 job waits"}.get(waiting, f"{waiting} jobs wait")
            message += f": {who} of {function!r} {'is' if workers < 2 else 'are'} connected; {jobs}"
        super().__init__(message)
        self.function = function
        self.workers = workers
        self.waiting = waiting


# How a job ended, if not well


class JobError(GeartrainError):
    """A job ended without a result. `handle` is its handle on the job server."""

    def __init__(self, message: str, handle: str = "") -> None:
        super().__init__(message)
        self.handle = handle


class JobFailed(JobError):  # noqa: N818 - Gearman's own word
    """The job ended with WORK_FAIL. A worker's function raises it to fail its job without a reason."""

    def __init__(self, message: str | bytes = "the job failed", handle: str = "") -> None:
        if isinstance(message, bytes):
            message = message.decode("utf-8", "replace")
        super().__init__(message, handle)


class JobException(JobError):  # noqa: N818 - Gearman's own word
    """The job ended with WORK_EXCEPTION; `data` holds the worker's bytes, the message shows them as text.

    A worker's function raises it to end its job with exactly this text or these bytes. Text travels as UTF-8.
    """

    data: bytes

    def __init__(self, data: bytes | bytearray | memoryview | str = b"", handle: str = "") -> None:
        if isinstance(data, str):
            # Half of a surrogate pair is no UTF-8, and a worker's exception must reach its client.
            data = data.encode("utf-8", "backslashreplace")
        elif isinstance(data, bytes | bytearray | memoryview):
            data = bytes(data)
        else:
            raise TypeError(f"a JobException carries str or bytes, not {type(data).__name__}")
        super().__init__(data.decode("utf-8", "replace"), handle)
        self.data = data


class UnknownJobError(JobError):
    """No job server that was asked knows the job of this handle, or has kept its result."""

    def __init__(self, handle: str) -> None:
        super().__init__(
            f"{handle}: no job or kept result has this handle; servers keep results if their --keep-results, "
            "or the function's, says so",
            handle,
        )


class TimeLimitError(JobError):
    """A job went past its function's time limit (`limit`, in seconds); the client is told this message."""

    def __init__(self, limit: float, handle: str = "") -> None:
        super().__init__(f"the job went past its time limit of {limit:g} s", handle)
        self.limit = limit


class JobLostError(JobError):
    """The server that held the job went away and the job may not be submitted again elsewhere."""


# Typed functions


class ArgumentError(GeartrainError):
    """A typed function was called with arguments that are not what it declares; it was not run.

    `function` and `argument` are their names, `reason` says what is wrong; `argument` is empty if it is not
    about a single one. Its caller gets it as a `JobException` with this text.
    """

    def __init__(self, function: str, argument: str, reason: str) -> None:
        super().__init__(
            f"{function}: argument {argument!r}: {reason}" if argument else f"{function}: {reason}"
        )
        self.function = function
        self.argument = argument
        self.reason = reason


class ResultError(GeartrainError):
    """The result of a typed function is not what the caller's declaration says; `data` holds its bytes."""

    def __init__(self, function: str, reason: str, data: bytes) -> None:
        super().__init__(f"{function}: the result: {reason}")
        self.function = function
        self.reason = reason
        self.data = data


class GroupError(GeartrainError):
    """Parts of a group failed.

    `failures` maps the index of each failed part to its error; `results` holds the results, None for those.
    """

    def __init__(self, failures: Mapping[int, BaseException], results: Sequence[object]) -> None:
        first = min(failures)
        text = f"{len(failures)} of {len(results)} parts failed; part {first + 1}: {failures[first]}"
        super().__init__(text)
        self.failures = dict(sorted(failures.items()))
        self.results = list(results)
        self.__cause__ = failures[first]
