"""What a worker can do: its functions by name, which may change while it works."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from ..wire.text import bytes_of
from .job import Job

Result: TypeAlias = bytes | bytearray | memoryview | str | None
"""What a handler returns. Text is sent as UTF-8, `None` as an empty result."""
Handler: TypeAlias = Callable[[Job], Result] | Callable[[Job], Awaitable[Result]]
"""What does the jobs of a function: a plain function or a coroutine function."""


class Function:
    """A name, its handler, and the seconds that a job may take (None: as long as it likes).

    After the `timeout` the server gives the job to another worker, at the `time_limit` it has failed.
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
        """The time-out as it is announced."""
        return math.ceil((self.timeout or 0) * 1000)


class Table(Protocol):
    """Functions by their names on the wire."""

    @property
    def table(self) -> Mapping[bytes, Function]:
        """As they are now. It is replaced, never changed, so whoever holds one has a whole one."""


class Functions:
    """The functions of a worker. Any thread may change them; every change makes a new `table`."""

    def __init__(self, prefix: str = "") -> None:
        # As the other libraries write it: a name that begins with the prefix and a tab.
        self._prefix = f"{prefix}\t" if prefix else ""
        self._lock = threading.Lock()
        self.table: Mapping[bytes, Function] = {}
        """By the name on the wire; see `Table`."""

    def add(self, function: Function) -> None:
        """Take up a function, in the place of one with the same name."""
        with self._lock:
            self.table = {**self.table, self._wire_name(function.name): function}

    def remove(self, name: str) -> None:
        """Give a function up.

        Raises:
            KeyError: there is none of this name.
        """
        with self._lock:
            wire_name = self._wire_name(name)
            if wire_name not in self.table:
                raise KeyError(name)
            self.table = {other: kept for other, kept in self.table.items() if other != wire_name}

    def _wire_name(self, name: str) -> bytes:
        return bytes_of(self._prefix + name)


class Part:
    """Those of a worker's functions that are coroutine functions, or those that are not."""

    def __init__(self, whole: Functions, coroutines: bool) -> None:
        self._whole = whole
        self._coroutines = coroutines
        self._seen: Mapping[bytes, Function] = {}
        self._table: Mapping[bytes, Function] = {}

    @property
    def table(self) -> Mapping[bytes, Function]:
        """See `Table`."""
        whole = self._whole.table
        if whole is not self._seen:
            wanted = [item for item in whole.items() if item[1].is_coroutine == self._coroutines]
            self._table = dict(wanted)
            self._seen = whole
        return self._table
