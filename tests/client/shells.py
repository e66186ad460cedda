"""Both clients behind one face, so that a scenario is written once, as a coroutine, and run with each."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from geartrain import AsyncClient, AsyncTaskSet, Client, TaskSet

SHELLS = ("blocking", "asyncio")
both_shells = pytest.mark.parametrize("shell", SHELLS)

# What answers at once in both.
_PLAIN = {"done", "cancel", "cancelled", "add"}


class Blocking:
    """A blocking client, future or task set whose calls may be awaited; they block the loop meanwhile."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        if name in _PLAIN or not inspect.ismethod(value):
            return value
        if name == "data":
            return self._data

        async def call(*args: Any, **keywords: Any) -> Any:
            result = value(*args, **keywords)
            return Blocking(result) if name == "submit" else result

        return call

    async def _data(self, *args: Any, **keywords: Any) -> AsyncIterator[bytes]:
        for chunk in self._thing.data(*args, **keywords):
            yield chunk


@asynccontextmanager
async def client_of(shell: str, servers: Any, **keywords: Any) -> AsyncIterator[Any]:
    """A client of that kind."""
    if shell == "asyncio":
        async with AsyncClient(servers, **keywords) as client:
            yield client
    else:
        with Client(servers, **keywords) as blocking:
            yield Blocking(blocking)


def task_set_of(client: Any) -> Any:
    """A task set for a client of either kind."""
    return AsyncTaskSet(client) if isinstance(client, AsyncClient) else Blocking(TaskSet(client._thing))
