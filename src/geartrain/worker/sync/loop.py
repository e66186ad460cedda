"""The grab loop: one job at a time, from the job servers in turn."""

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
from ..functions import FunctionSource
from ..hooks import Hooks
from ..job import Job
from ..outcome import Outcome, outcome_of
from ..time_limits import TimeLimitWatchdog, watch_time_limit
from .servers import Servers, ServerState

_log = structlog.get_logger("geartrain.worker")

LONGEST_LOOK: Final = 3600.0
"""Longest single wait in seconds."""


class Loop:
    """Do the jobs of a worker's functions in one thread, over connections of its own."""

    def __init__(
        self,
        addresses: Sequence[Address],
        functions: FunctionSource,
        client_id: str,
        connect_timeout: float,
        hooks: Hooks,
        watch: TimeLimitWatchdog | None = None,
    ) -> None:
        self.done = 0
        """Number of jobs done."""
        self._hooks = hooks
        self._watch = watch
        self._functions = functions
        self._servers = Servers(addresses, functions, client_id, connect_timeout)
        # The server with the outstanding grab. There is at most one, so no job waits behind another.
        self._grabbing: ServerState | None = None
        self._stopping = False
        self._runner: asyncio.Runner | None = None

    # From any thread and from signal handlers, so without locks

    def stop(self) -> None:
        """Make `run` return after the current job."""
        self._stopping = True
        self._servers.wake()

    def wake(self) -> None:
        """Make a sleeping loop notice a change."""
        self._servers.wake()

    def forked(self) -> list[int]:
        """Give up all connections in a forked process; return their descriptors."""
        return self._servers.forked()

    # From the loop's thread

    def start(self) -> None:
        """Call the coroutine hooks, if there are coroutine functions."""
        if any(function.is_coroutine for function in self._functions.table.values()):
            self.finish(self._hooks.started_loop())

    def run(self, max_jobs: float = math.inf, timeout: float = math.inf) -> int:
        """Do jobs until `max_jobs` are done, `timeout` seconds have passed without one, or `stop` was called.

        Return the number of jobs done.
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
        """Close all connections, once the servers have read everything or at once."""
        self._servers.close(at_once)
        if self._runner is not None:
            if not at_once:
                self._runner.run(self._hooks.stopped_loop())
            self._runner.close()
            self._runner = None

    def _grab(self, deadline: float) -> ServerState | None:
        """Wait until a server may have a job, and grab there; return None when stopped or at the deadline."""
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

    def _serve(self, server: ServerState, until: float) -> None:
        """Do the job that answers the grab, and the next ones while it is this server's turn."""
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
                    _log.warning(
                        "the end of a job could not be sent", handle=text_of(handle), reason=str(error)
                    )
                    raise
            if engine.state != GRABBING:
                self._grabbing = None
                if engine.state == AWAKE:
                    self._servers.awake.append(server)
                return

    def _do(self, server: ServerState, assigned: Assignment) -> Outcome:
        # The function as announced to this server; it may be withdrawn since.
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
            # The usual case: an empty context manager would cost a twentieth of a job.
            return outcome_of(function, job, self._hooks, self.finish)
        with watch_time_limit(self._watch, function, job):
            return outcome_of(function, job, self._hooks, self.finish)

    def _follow(self, server: ServerState, until: float) -> bytes:
        """Return the packet behind the end of a job: the next grab, if it is still this server's turn."""
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
        """Run a handler's coroutine to its end, on the event loop that all of them share."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        coroutine = awaitable if isinstance(awaitable, Coroutine) else _wait_for(awaitable)
        # A context of its own, as with tasks: context variables do not leak into the next job.
        return self._runner.run(coroutine, context=contextvars.copy_context())


async def _wait_for(awaitable: Awaitable[object]) -> object:
    return await awaitable
