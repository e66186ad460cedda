"""Ends of jobs: the result or exception of a handler as a packet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any

import structlog

from ..errors import JobException, JobFailed, JobLostError, TimeLimitError
from ..wire import packets as p
from . import forks
from .functions import Function
from .hooks import Hooks
from .job import LARGEST_BODY, Job, current
from .raised import log_raised
from .signals import ENDS_WORKER

_log = structlog.get_logger("geartrain.worker")

Outcome = tuple[int, bytes | None]
"""A packet type and the body behind the handle (None: the handle alone)."""
InThread = Callable[[Callable[[], object]], Awaitable[object]]
"""Function that calls another one on a thread."""


class _UnfitResultError(Exception):
    """A handler returned a value that is no result."""


def current_job() -> Job | None:
    """Return the running job, in a handler and in functions that it calls; None elsewhere.

    Each thread and each coroutine has its own. For logs and traces far away from the handler.
    """
    return current.get()


def outcome_of(
    function: Function, job: Job, hooks: Hooks, finish: Callable[[Awaitable[object]], object]
) -> Outcome:
    """Run a handler for a job; return the job's end.

    Args:
        function: the function with the handler.
        job: the handler's argument.
        hooks: hooks to call around the job.
        finish: function that runs a coroutine to its end and returns its result.
    """
    ended_with: BaseException | None = None
    generation = forks.generation
    before = current.set(job)
    try:
        try:
            hooks.begin(job)
            result: object = function.handler(job)
            if type(result) is not bytes and isinstance(result, Awaitable):
                result = finish(within(function.time_limit, result))
            outcome = _returned(function, result)
        except BaseException as error:
            if forks.generation != generation:
                forks.end(error)
            if isinstance(error, ENDS_WORKER):
                raise
            ended_with = error
            outcome = _raised(function, job, error)
        if forks.generation == generation:
            hooks.end(job, ended_with)
        if forks.generation != generation:
            forks.end()
    finally:
        current.reset(before)
        forks.job_ended(job)
    return outcome


async def outcome_of_coroutine(
    function: Function, job: Job, hooks: Hooks, in_thread: InThread = asyncio.to_thread
) -> Outcome:
    """Do the same on an event loop, as one of many; a plain function is called `in_thread`.

    A cancellation is raised, not returned.
    """
    ended_with: BaseException | None = None
    generation = forks.generation
    current.set(job)  # in the context of this job's own task
    try:
        hooks.begin(job)
        outcome = _returned(function, await within(function.time_limit, _called(function, job, in_thread)))
    except BaseException as error:
        if forks.generation != generation:
            forks.end(error)
        # A GeneratorExit of the handler's own arrives as another error: this one closes the task.
        if isinstance(error, (*ENDS_WORKER, GeneratorExit)):
            raise
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        ended_with = error
        outcome = _raised(function, job, error)
    if forks.generation == generation:
        hooks.end(job, ended_with)
    if forks.generation != generation:
        forks.end()
    forks.job_ended(job)
    return outcome


async def _called(function: Function, job: Job, in_thread: InThread) -> object:
    if function.is_coroutine:
        result: object = function.handler(job)
    else:
        # With the context variables, so that `current_job` works.
        run = partial(copy_context().run, _called_plainly, function, job)
        result = await in_thread(run)
    return await result if isinstance(result, Awaitable) else result


def _called_plainly(function: Function, job: Job) -> object:
    generation = forks.generation
    try:
        result: object = function.handler(job)
    except BaseException as error:
        if forks.generation != generation:
            forks.end(error)
        if isinstance(error, StopIteration | GeneratorExit):
            # No future of asyncio takes a StopIteration; a GeneratorExit from one would close the task.
            raise RuntimeError(f"the handler raised {type(error).__name__}") from error
        raise
    if forks.generation != generation:
        forks.end()
    return result


class _Steps:
    """Steps of a handler's coroutine, none of them in a forked process but the one that forked it.

    A child that went back to the event loop would run the other jobs of its parent, too.
    """

    def __init__(self, awaitable: Awaitable[object]) -> None:
        self._coroutine = awaitable if isinstance(awaitable, Coroutine) else _wait_for(awaitable)

    def __await__(self) -> Generator[Any, Any, object]:
        generation = forks.generation
        task = asyncio.current_task()
        coroutine = self._coroutine
        step: Callable[[], object] = partial(coroutine.send, None)
        while True:
            if forks.generation != generation:
                forks.end_suspended()
            try:
                suspended = step()
            except BaseException as error:
                returned = isinstance(error, StopIteration)
                if forks.generation != generation:
                    forks.end(None if returned else error)
                if isinstance(error, StopIteration):
                    return error.value
                if isinstance(error, GeneratorExit):
                    # For asyncio it means that the task is closed.
                    raise RuntimeError("the handler raised GeneratorExit") from error
                raise
            if forks.generation != generation:
                forks.end_suspended()
            try:
                sent = yield suspended
            except BaseException as error:
                if isinstance(error, GeneratorExit) and not _is_stepped(task):
                    coroutine.close()
                    raise
                step = partial(coroutine.throw, error)
            else:
                step = partial(coroutine.send, sent)


def _is_stepped(task: asyncio.Task[object] | None) -> bool:
    """Return whether a task runs now; one that is being closed does not."""
    try:
        return task is not None and asyncio.current_task() is task
    except RuntimeError:
        return False


async def _wait_for(awaitable: Awaitable[object]) -> object:
    return await awaitable


async def within(seconds: float | None, awaitable: Awaitable[object]) -> object:
    """Await something for up to `seconds`.

    Raises:
        TimeLimitError: it took longer and was cancelled.
    """
    if seconds is None:
        return await _Steps(awaitable)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _Steps(awaitable)
    except TimeoutError:
        if limit.expired():
            raise TimeLimitError(seconds) from None
        raise


def exception_text(error: BaseException) -> bytes:
    """Return an exception for clients: its message, with its type where the message says too little.

    >>> exception_text(ValueError("no such account"))
    b'no such account'
    >>> exception_text(KeyError("account")), exception_text(ValueError())
    (b"KeyError: 'account'", b'ValueError')
    """
    text = _message(error)
    name = type(error).__qualname__
    if not text:
        text = name
    elif isinstance(error, KeyError):
        text = f"{name}: {text}"
    return text.encode("utf-8", "backslashreplace")[:LARGEST_BODY]


def _message(error: BaseException) -> str:
    """Return an exception's message; an empty one if it raises when it is asked for it."""
    try:
        return str(error)
    except ENDS_WORKER:
        raise
    except BaseException:
        return ""


def _raised(function: Function, job: Job, error: BaseException) -> Outcome:
    names = {"function": function.name, "handle": job.handle}
    if isinstance(error, JobFailed):
        _log.info("job failed", **names, reason=_message(error))
        return p.WORK_FAIL, None
    if isinstance(error, JobException):
        _log.info("job ended with an exception", **names, reason=_message(error))
        return p.WORK_EXCEPTION, error.data[:LARGEST_BODY]
    if isinstance(error, JobLostError) and error.handle == job.handle:
        # The server refuses this end, or has closed the connection.
        return p.WORK_FAIL, None
    if isinstance(error, _UnfitResultError):
        _log.error("job returned no valid result", **names, reason=str(error))
    elif isinstance(error, TimeLimitError):
        _log.error("job went past its time limit", **names, limit=error.limit)
    else:
        # Not by assignment, which a frozen dataclass refuses.
        BaseException.with_traceback(error, _beyond_this_file(error.__traceback__))
        log_raised(_log, "job raised an exception", error, **names)
    return p.WORK_EXCEPTION, exception_text(error)


def _beyond_this_file(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback that begins in the handler."""
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
