"""Typed functions: a handler that decodes the arguments, calls the function, and encodes its result."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, JobException
from ..signature import Signature, declare, is_raw
from .functions import Handler
from .job import Job

if TYPE_CHECKING:
    from ..codecs import Codec


def handler_of(name: str, function: Callable[..., Any], codec: Codec | None) -> Handler:
    """Return the handler for a function; a raw function (see `is_raw`) is its own handler.

    Raises:
        TypeError: the function can't be typed; the message says why.
    """
    if not callable(function) or (codec is None and is_raw(function)):
        return function
    signature = Signature(function, name, codec)
    declare(function, signature)

    def arguments(job: Job) -> tuple[list[Any], dict[str, Any]]:
        try:
            args, keywords = signature.arguments(job.workload)
        except ArgumentError as error:
            # The caller's fault: the worker's log has no traceback of it.
            raise JobException(str(error).encode("utf-8", "backslashreplace")) from None
        if signature.takes_job:
            args.insert(0, job)
        return args, keywords

    if any(map(inspect.iscoroutinefunction, (function, type(function).__call__))):

        @functools.wraps(function)
        async def handle_async(job: Job) -> bytes:
            args, keywords = arguments(job)
            return signature.codec.encode(await function(*args, **keywords))

        return handle_async

    @functools.wraps(function)
    def handle(job: Job) -> bytes:
        args, keywords = arguments(job)
        return signature.codec.encode(function(*args, **keywords))

    return handle
