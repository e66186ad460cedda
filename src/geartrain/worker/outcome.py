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

# Room for the handle in the packet of a result.
_LARGEST_RESULT: Final = MAX_PACKET - 256

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
        if type(result) is bytes and len(result) <= _LARGEST_RESULT:
            return p.WORK_COMPLETE, result
        if isinstance(result, Awaitable):
            result = finish(result)
        return p.WORK_COMPLETE, _result_bytes(function, result)
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
        _log.exception("the handler raised an exception", function=function.name, handle=job.handle)
        return p.WORK_EXCEPTION, exception_text(error)


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


def _result_bytes(function: Function, result: object) -> bytes:
    if isinstance(result, str):
        result = result.encode()
    elif result is None:
        return b""
    elif isinstance(result, bytearray | memoryview):
        result = bytes(result)
    if not isinstance(result, bytes):
        name = type(result).__name__
        raise TypeError(f"the function {function.name!r} returned {name}: a result is bytes, str or None")
    if len(result) > _LARGEST_RESULT:
        raise ValueError(
            f"the function {function.name!r} returned {len(result)} bytes: a packet holds {_LARGEST_RESULT}"
        )
    return result
