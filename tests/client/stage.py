"""A job server with a worker, for scenarios of either kind of client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

from tests.harness.servers import gearmand_c, gearmand_perl
from tests.server.running import RunningServer

from .shells import client_of
from .workers import Worker, worker

Scenario = Callable[[Any], Awaitable[None]]


class Stage:
    """A server of one kind with a worker, and both kinds of client for it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._stack = ExitStack()
        server: Any
        if kind == "geartrain":
            server = self._stack.enter_context(RunningServer())
        else:
            server = self._stack.enter_context((gearmand_c if kind == "gearmand-c" else gearmand_perl)())
        self.host, self.port, self.address = server.host, server.port, server.address
        self.worker: Worker = self._stack.enter_context(worker(self.host, self.port))

    def close(self) -> None:
        self._stack.close()

    def play(self, shell: str, scenario: Scenario, **keywords: Any) -> None:
        """Run a scenario with a client of that kind."""

        async def played() -> None:
            async with client_of(shell, self.address, **keywords) as client:
                await asyncio.wait_for(scenario(client), 60)

        asyncio.run(played())
