"""How a job ends: what its handler returned or raised, as the packet that tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from functools import partial
from types import TracebackType
from typing import Final

import structlog

from ..errors import JobException, JobFailed, JobLostError, TimeLimitError
from ..wire import packets as p
from .functions import Function
from .hooks import Hooks
from .job import LARGEST_BODY, Job

_log = structlog.get_logger("geartrain.worker")

Outcome = tuple[int, bytes | None]
"""A packet type, and what follows the handle in its body (None: the handle stands alone)."""
InThread = Callable[[Callable[[], object]], Awaitable[object]]
"""Calls something on another thread."""

_current: ContextVar[Job | None] = ContextVar("geartrain_job", default=None)
# What a handler may raise and its job ends with. Others, such as KeyboardInterrupt, end the worker.
_ENDINGS: Final = (Exception, asyncio.CancelledError, SystemExit)


class _UnfitResultError(Exception):
    """A handler returned what cannot be sent."""


def current_job() -> Job | None:
    """The job in hand, in a handler and in what it calls; None elsewhere.

    Each thread and each coroutine has its own. For logs and traces, which are far away from the handler.
    """
    return _current.get()


def outcome_of(
    function: Function, job: Job, hooks: Hooks, finish: Callable[[Awaitable[object]], object]
) -> Outcome:
    """Have a handler do its job; returns how the job ended.

    Args:
        function: whose handler is called.
        job: what it is called with.
        hooks: who is told.
        finish: brings a coroutine to its end and returns its result.
    """
    ended_with: BaseException | None = None
    before = _current.set(job)
    try:
        try:
            hooks.begin(job)
            result: object = function.handler(job)
            if type(result) is not bytes and isinstance(result, Awaitable):
                result = finish(within(function.time_limit, result))
            outcome = _returned(function, result)
        except _ENDINGS as error:
            ended_with = error
            outcome = _raised(function, job, error)
        hooks.end(job, ended_with)
    finally:
        _current.reset(before)
    return outcome


async def outcome_of_coroutine(
    function: Function, job: Job, hooks: Hooks, in_thread: InThread = asyncio.to_thread
) -> Outcome:
    """Like `outcome_of`, on an event loop, as one of many; a plain function is called `in_thread`.

    Being cancelled is no outcome.
    """
    ended_with: BaseException | None = None
    _current.set(job)  # in the context of this job's own task
    try:
        hooks.begin(job)
        outcome = _returned(function, await within(function.time_limit, _called(function, job, in_thread)))
    except _ENDINGS as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        ended_with = error
        outcome = _raised(function, job, error)
    hooks.end(job, ended_with)
    return outcome


async def _called(function: Function, job: Job, in_thread: InThread) -> object:
    if function.is_coroutine:
        result: object = function.handler(job)
    else:
        # What `current_job` finds goes along.
        run = partial(copy_context().run, _called_plainly, function, job)
        result = await in_thread(run)
    return await result if isinstance(result, Awaitable) else result


def _called_plainly(function: Function, job: Job) -> object:
    try:
        return function.handler(job)
    except StopIteration as error:
        # No future of asyncio takes one, and whoever waits for it would wait for ever.
        raise RuntimeError("the handler raised StopIteration") from error


async def within(seconds: float | None, awaitable: Awaitable[object]) -> object:
    """Await something, and break it off when its time is over.

    Raises:
        TimeLimitError: it was over.
    """
    if seconds is None:
        return await awaitable
    try:
        async with asyncio.timeout(seconds) as limit:
            return await awaitable
    except TimeoutError:
        if limit.expired():
            raise TimeLimitError(seconds) from None
        raise


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
    return text.encode("utf-8", "backslashreplace")[:LARGEST_BODY]


def _raised(function: Function, job: Job, error: BaseException) -> Outcome:
    names = {"function": function.name, "handle": job.handle}
    if isinstance(error, JobFailed):
        _log.info("job failed", **names, reason=str(error))
        return p.WORK_FAIL, None
    if isinstance(error, JobException):
        _log.info("job ended with an exception", **names, reason=str(error))
        return p.WORK_EXCEPTION, error.data[:LARGEST_BODY]
    if isinstance(error, JobLostError) and error.handle == job.handle:
        # Whoever runs the handler knows, and has nobody to tell.
        return p.WORK_FAIL, None
    if isinstance(error, _UnfitResultError):
        _log.error("job returned what cannot be sent", **names, reason=str(error))
    elif isinstance(error, TimeLimitError):
        _log.error("job went past its time limit", **names, limit=error.limit)
    else:
        # Not by assignment, which a frozen dataclass refuses.
        BaseException.with_traceback(error, _beyond_this_file(error.__traceback__))
        _log.error("job raised an exception", **names, exc_info=error)
    return p.WORK_EXCEPTION, exception_text(error)


def _beyond_this_file(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback as the handler's author knows it: it begins in the handler."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


def _returned(function: Function, result: object) -> Outcome:
    if type(result) is not bytes:
        try:
            result = _bytes_of(result)
        except (TypeError, UnicodeEncodeError) as error:
            raise _UnfitResultError(f"the function {function.name!r} returned {error}") from None
    if len(result) > LARGEST_BODY:
        size = f"{len(result)} bytes: the largest result is {LARGEST_BODY} bytes"
        raise _UnfitResultError(f"the function {function.name!r} returned {size}")
    return p.WORK_COMPLETE, result


def _bytes_of(result: object) -> bytes:
    if result is None:
        return b""
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result)
    raise TypeError(f"{type(result).__name__}: a result is bytes, str or None")
