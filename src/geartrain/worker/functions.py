"""The functions of a worker by name, which may change while it works."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from ..wire.text import bytes_of
from .job import Job

Result: TypeAlias = bytes | bytearray | memoryview | str | None
"""Result of a handler. Text is sent as UTF-8, `None` as an empty result."""
Handler: TypeAlias = Callable[[Job], Result] | Callable[[Job], Awaitable[Result]]
"""A plain function or a coroutine function that does jobs."""


class Function:
    """A name, its handler, and its time limits in seconds (None: no limit).

    After the `timeout` the server gives the job to another worker. After the `time_limit` the job has failed.
    """

    __slots__ = ("handler", "is_coroutine", "name", "time_limit", "timeout")

    def __init__(
        self, name: str, handler: Handler, timeout: float | None = None, time_limit: float | None = None
    ) -> None:
        if not name:
            raise ValueError("a function needs a name")
        if "\0" in name:
            raise ValueError(f"a function's name may not hold NULs: {name!r}")
        if not callable(handler):
            raise TypeError(f"the handler of {name!r} is not callable: {handler!r}")
        if timeout is not None and not 0 < timeout < math.inf:
            raise ValueError(f"a time-out is a positive number of seconds, not {timeout!r}")
        if time_limit is not None and not 0 < time_limit < math.inf:
            raise ValueError(f"a time limit is a positive number of seconds, not {time_limit!r}")
        self.name = name
        self.handler = handler
        self.timeout = timeout
        self.time_limit = time_limit
        self.is_coroutine = any(map(inspect.iscoroutinefunction, (handler, type(handler).__call__)))

    @property
    def timeout_ms(self) -> int:
        """The time-out in milliseconds, as CAN_DO_TIMEOUT has it."""
        return math.ceil((self.timeout or 0) * 1000)


class FunctionSource(Protocol):
    """FunctionRegistry by their names on the wire."""

    @property
    def table(self) -> Mapping[bytes, Function]:
        """The present functions. The mapping is replaced and never changed."""


class FunctionRegistry:
    """The functions of a worker. Any thread may change them; every change makes a new `table`."""

    def __init__(self, prefix: str = "") -> None:
        # Prefix and tab, as in the other libraries.
        self._prefix = f"{prefix}\t" if prefix else ""
        self._lock = threading.Lock()
        self.table: Mapping[bytes, Function] = {}
        """Functions by their names on the wire; see `FunctionSource`."""

    def add(self, function: Function) -> None:
        """Add a function, or replace the one of the same name."""
        with self._lock:
            self.table = {**self.table, self._wire_name(function.name): function}

    def remove(self, name: str) -> None:
        """Remove a function.

        Raises:
            KeyError: no function has this name.
        """
        with self._lock:
            wire_name = self._wire_name(name)
            if wire_name not in self.table:
                raise KeyError(name)
            self.table = {other: kept for other, kept in self.table.items() if other != wire_name}

    def _wire_name(self, name: str) -> bytes:
        return bytes_of(self._prefix + name)


class FunctionSubset:
    """The coroutine functions of a worker, or the plain ones."""

    def __init__(self, whole: FunctionRegistry, coroutines: bool) -> None:
        self._whole = whole
        self._coroutines = coroutines
        self._seen: Mapping[bytes, Function] = {}
        self._table: Mapping[bytes, Function] = {}

    @property
    def table(self) -> Mapping[bytes, Function]:
        """See `FunctionSource`."""
        whole = self._whole.table
        if whole is not self._seen:
            wanted = [item for item in whole.items() if item[1].is_coroutine == self._coroutines]
            self._table = dict(wanted)
            self._seen = whole
        return self._table
