"""The grab loop: takes turns between the job servers, and does one job at a time."""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Final

import structlog

from ...errors import ConnectionLostError
from ...wire import packets as p
from ...wire.address import Address
from ...wire.text import text_of
from ..engine.engine import AWAKE, GRABBING, Assignment
from ..functions import Table
from ..hooks import Hooks
from ..job import Job
from ..outcome import Outcome, outcome_of
from ..time_limits import Watch, watched
from .servers import Server, Servers

_log = structlog.get_logger("geartrain.worker")

LONGEST_LOOK: Final = 3600.0
"""Seconds that the loop waits in one go at most."""


class Loop:
    """Does the jobs of a worker's functions in one thread, over connections of its own."""

    def __init__(
        self,
        addresses: Sequence[Address],
        functions: Table,
        client_id: str,
        connect_timeout: float,
        hooks: Hooks,
        watch: Watch | None = None,
    ) -> None:
        self.done = 0
        """Jobs that were done."""
        self._hooks = hooks
        self._watch = watch
        self._functions = functions
        self._servers = Servers(addresses, functions, client_id, connect_timeout)
        # The server that a grab is out to. There is never more than one, so never a second job in hand.
        self._grabbing: Server | None = None
        self._stopping = False
        self._runner: asyncio.Runner | None = None

    # From any thread and from signal handlers, so without locks

    def stop(self) -> None:
        """Have `run` return when the job in hand is done."""
        self._stopping = True
        self._servers.wake()

    def wake(self) -> None:
        """Something has changed: look at it, if asleep."""
        self._servers.wake()

    def forked(self) -> list[int]:
        """In a forked process: give up all connections; return their descriptors."""
        return self._servers.forked()

    # From its own

    def start(self) -> None:
        """Have the hooks that are coroutine functions called, if there are coroutines to run."""
        if any(function.is_coroutine for function in self._functions.table.values()):
            self.finish(self._hooks.started_loop())

    def run(self, max_jobs: float = math.inf, timeout: float = math.inf) -> int:
        """Do jobs until there were `max_jobs`, or none came for `timeout` seconds, or `stop` was called.

        Returns how many jobs were done.
        """
        before = self.done
        deadline = time.monotonic() + timeout
        while self.done - before < max_jobs:
            server = self._grabbing or self._grab(deadline)
            if server is None:
                break
            try:
                self._serve(server, before + max_jobs)
            except ConnectionLostError as error:
                self._grabbing = None
                self._servers.lost(server, error.reason)
        return self.done - before

    def close(self, at_once: bool = False) -> None:
        """Part from the servers: when they have read our last words, or at once."""
        self._servers.close(at_once)
        if self._runner is not None:
            if not at_once:
                self._runner.run(self._hooks.stopped_loop())
            self._runner.close()
            self._runner = None

    def _grab(self, deadline: float) -> Server | None:
        """Wait until a server may have a job, and ask it; None when stopped or at the deadline."""
        servers = self._servers
        looked = False
        while True:
            servers.announce()
            if self._stopping:
                return None
            if servers.awake:
                server = servers.awake.popleft()
                assert server.connection is not None
                self._grabbing = server
                try:
                    server.connection.send(server.engine.grab())
                except ConnectionLostError as error:
                    self._grabbing = None
                    servers.lost(server, error.reason)
                    continue
                return server
            left = deadline - time.monotonic()
            if left <= 0 and looked:
                return None
            servers.look(max(0.0, min(left, LONGEST_LOOK)))
            looked = True

    def _serve(self, server: Server, until: float) -> None:
        """A grab is out: do the job that comes, and the next ones while it is this server's turn."""
        connection = server.connection
        assert connection is not None
        engine = server.engine
        while True:
            assignment = connection.receive()
            if assignment is not None:
                type, body = self._do(server, assignment)
                self.done += 1
                handle = assignment.handle
                try:
                    if not connection.end_events(handle):
                        self._grabbing = None
                        return
                    connection.send_end(type, handle, body, self._follow(server, until))
                except ConnectionLostError as error:
                    _log.warning("a job's end could not be told", handle=text_of(handle), reason=str(error))
                    raise
            if engine.state != GRABBING:
                self._grabbing = None
                if engine.state == AWAKE:
                    self._servers.awake.append(server)
                return

    def _do(self, server: Server, assigned: Assignment) -> Outcome:
        # By what this server was told, which may have been withdrawn since.
        function = server.engine.announced.get(assigned.function)
        if function is None:
            _log.error("a job of a function that was not announced", function=text_of(assigned.function))
            return p.WORK_FAIL, None
        job = Job(
            function.name,
            assigned.workload,
            assigned.handle,
            assigned.unique,
            assigned.reducer,
            server.connection,
        )
        if self._watch is None or function.time_limit is None:
            # As nearly always: even a context that does nothing costs a twentieth of a job.
            return outcome_of(function, job, self._hooks, self.finish)
        with watched(self._watch, function, job):
            return outcome_of(function, job, self._hooks, self.finish)

    def _follow(self, server: Server, until: float) -> bytes:
        """What is written behind the end of a job: the next grab, if it is still this server's turn."""
        if self._stopping or self.done >= until:
            return b""
        servers = self._servers
        if servers.several:
            servers.look(0)
            if servers.awake:
                return b""
        if server.table is not self._functions.table:
            return b""
        return server.engine.follow()

    def finish(self, awaitable: Awaitable[object]) -> object:
        """Bring a handler's coroutine to its end, on the loop that all of them share."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        coroutine = awaitable if isinstance(awaitable, Coroutine) else _wait_for(awaitable)
        # A context of its own, as with tasks: what one job sets is not there in the next.
        return self._runner.run(coroutine, context=contextvars.copy_context())


async def _wait_for(awaitable: Awaitable[object]) -> object:
    return await awaitable
