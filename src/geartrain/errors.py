"""One exception tree: everything that Geartrain raises on purpose is a `GeartrainError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    "WaitTimeoutError",
]


class GeartrainError(Exception):
    """The root of the tree; catch it to catch all of ours."""


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
    """Waiting ended before the answer came; the job itself goes on."""


# How a job ended, if not well


class JobError(GeartrainError):
    """A job ended without a result. `handle` is its handle on the job server."""

    def __init__(self, message: str, handle: str = "") -> None:
        super().__init__(message)
        self.handle = handle


class JobFailed(JobError):  # noqa: N818 - Gearman's own word
    """The job ended with WORK_FAIL. A worker's function raises it to fail its job without a reason."""

    def __init__(self, message: str = "the job failed", handle: str = "") -> None:
        super().__init__(message, handle)


class JobException(JobError):  # noqa: N818 - Gearman's own word
    """The job ended with WORK_EXCEPTION; `data` holds the worker's bytes, the message shows them as text."""

    def __init__(self, data: bytes, handle: str = "") -> None:
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
