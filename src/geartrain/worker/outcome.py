"""How a job ends: what its handler returned or raised, as the packet that tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from ..errors import JobException, JobFailed, JobLostError
from ..wire import packets as p
from ..wire.parser import MAX_PACKET
from .functions import Function
from .job import Job

_log = structlog.get_logger("geartrain.worker")

LARGEST_RESULT: Final = MAX_PACKET - 256
"""Bytes; the rest is room for the handle. A server that was sent more would hang up, and try it again."""

Outcome = tuple[int, bytes | None]
"""A packet type, and what follows the handle in its body (None: the handle stands alone)."""


def outcome_of(function: Function, job: Job, finish: Callable[[Awaitable[object]], object]) -> Outcome:
    """Have a handler do its job; returns how the job ended.

    Args:
        function: whose handler is called.
        job: what it is called with.
        finish: brings a coroutine to its end and returns its result.
    """
    try:
        result: object = function.handler(job)
        if type(result) is not bytes and isinstance(result, Awaitable):
            result = finish(result)
    except JobFailed as error:
        _log.info("job failed", function=function.name, handle=job.handle, reason=str(error))
        return p.WORK_FAIL, None
    except JobException as error:
        _log.info("job ended with an exception", function=function.name, handle=job.handle, reason=str(error))
        return p.WORK_EXCEPTION, error.data
    except (Exception, asyncio.CancelledError, SystemExit) as error:
        if isinstance(error, JobLostError) and error.handle == job.handle:
            # Whoever runs the handler knows, and has nobody to tell.
            return p.WORK_FAIL, None
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next  # it begins in the handler, not here
        _log.error("job raised an exception", function=function.name, handle=job.handle, exc_info=error)
        return p.WORK_EXCEPTION, exception_text(error)
    if type(result) is not bytes:
        try:
            result = _bytes_of(result)
        except (TypeError, UnicodeEncodeError) as error:
            return _unfit(function, job, str(error))
    if len(result) > LARGEST_RESULT:
        return _unfit(function, job, f"{len(result)} bytes: the largest result is {LARGEST_RESULT} bytes")
    return p.WORK_COMPLETE, result


def exception_text(error: BaseException) -> bytes:
    """What a client is told of an exception: its message, with its type where that alone says too little.

    >>> exception_text(ValueError("no such account"))
    b'no such account'
    >>> exception_text(KeyError("account")), exception_text(ValueError())
    (b"KeyError: 'account'", b'ValueError')
    """
    try:
        text = str(error)
    except Exception:
        text = ""
    name = type(error).__qualname__
    if not text:
        text = name
    elif isinstance(error, KeyError):
        text = f"{name}: {text}"
    return text.encode("utf-8", "backslashreplace")


def _bytes_of(result: object) -> bytes:
    if result is None:
        return b""
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result)
    raise TypeError(f"{type(result).__name__}: a result is bytes, str or None")


def _unfit(function: Function, job: Job, what: str) -> Outcome:
    """The handler returned what cannot be sent."""
    text = f"the function {function.name!r} returned {what}"
    _log.error("job returned what cannot be sent", handle=job.handle, reason=text)
    return p.WORK_EXCEPTION, text.encode("utf-8", "backslashreplace")
