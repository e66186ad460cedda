"""The grab loop on an event loop: many jobs at a time, one connection to each server."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence

import structlog

from ...tls import context_of
from ...wire import packets as p
from ...wire.address import Address
from ...wire.text import text_of
from ..engine.engine import Assignment, WorkerEngine
from ..engine.keepalive import Backoff, ConnectionLog, reason_of
from ..functions import FunctionSource
from ..hooks import Hooks
from ..job import Job
from ..outcome import outcome_of_coroutine
from ..time_limits import TimeLimitWatchdog, watch_time_limit
from .connection import AioConnection, JobSink
from .threads import Threads

_log = structlog.get_logger("geartrain.worker")


class CoroutineLoop:
    """Do the jobs of a worker's functions on one event loop, up to `concurrency` at a time."""

    def __init__(
        self,
        addresses: Sequence[Address],
        functions: FunctionSource,
        client_id: str,
        connect_timeout: float,
        hooks: Hooks,
        watch: TimeLimitWatchdog | None,
        concurrency: int,
        max_jobs: float = math.inf,
    ) -> None:
        self.done = 0
        """Number of jobs done."""
        self._engines = {
            address: WorkerEngine(str(address), client_id.encode(), address.token) for address in addresses
        }
        self._functions = functions
        self._connect_timeout = connect_timeout
        self._hooks = hooks
        self._watch = watch
        self._concurrency = concurrency
        self._max_jobs = max_jobs
        # For plain functions. An assigned job never waits for a thread.
        self._threads = Threads(concurrency, self._turn)
        self._connections: set[AioConnection] = set()
        # Connections to servers that may have a job, next one first.
        self._awake: deque[AioConnection] = deque()
        self._jobs: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._idle = asyncio.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._log = ConnectionLog([str(address) for address in addresses])

    # From any thread

    def stop(self) -> None:
        """Make `run` return after the running jobs."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Make the loop notice a change."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._turn)
            except RuntimeError:
                pass  # the loop is closed

    def forked(self) -> list[int]:
        """Give up all connections in a forked process; return their descriptors."""
        return [connection.forked() for connection in self._connections]

    # On its event loop

    async def run(self) -> int:
        """Do jobs until told to stop; return their number. A cancellation gives the running jobs back."""
        self._loop = asyncio.get_running_loop()
        keepers = [asyncio.create_task(self._keep(address)) for address in self._engines]
        try:
            self._turn()
            await self._idle.wait()
            if self._failure is not None:
                raise self._failure
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*(connection.hang_up() for connection in list(self._connections)))
        finally:
            self._stopping = True
            self._threads.close()
            for task in [*keepers, *self._jobs]:
                task.cancel()
            for connection in list(self._connections):
                connection.lose("closed")
            await asyncio.gather(*keepers, *self._jobs, return_exceptions=True)
        return self.done

    def _turn(self) -> None:
        """Announce changed functions, grab where there is room, and note the end of the last job."""
        if self.done >= self._max_jobs:
            self._stopping = True
        table = self._functions.table
        for connection in self._connections:
            if connection.table is not table and not connection.grabbing:
                connection.announce(table)
        while self._may_grab:
            self._awake.popleft().grab()
        if (
            self._stopping
            and not self._jobs
            and not any(connection.grabbing for connection in self._connections)
        ):
            self._idle.set()

    @property
    def _may_grab(self) -> bool:
        while self._awake and not self._awake[0].awake:
            self._awake.popleft()
        return bool(self._awake) and self._has_room(len(self._jobs))

    def _has_room(self, jobs: int) -> bool:
        """Whether one more job may be grabbed beside so many running ones."""
        grabs = sum(connection.grabbing for connection in self._connections)
        # The next job may need a thread.
        room = min(self._concurrency - self._threads.lacking, self._max_jobs - self.done)
        return not self._stopping and jobs + grabs < room

    # Callbacks of the connections

    def assigned(self, sink: JobSink, assignment: Assignment) -> None:
        """Run an assigned job beside the others."""
        task = asyncio.get_running_loop().create_task(self._do(sink, assignment))
        self._jobs.add(task)
        task.add_done_callback(self._ended)

    def answered(self, connection: AioConnection) -> None:
        """Queue the connection if its server may have a job."""
        if connection.awake and connection not in self._awake:
            self._awake.append(connection)
        self._turn()

    # One job

    async def _do(self, sink: JobSink, assigned: Assignment) -> None:
        connection = sink.connection
        function = connection.engine.announced.get(assigned.function)
        if function is None:
            _log.error("a job of a function that was not announced", function=text_of(assigned.function))
            sink.end(p.WORK_FAIL, None, False)
            return
        job = Job(function.name, assigned.workload, assigned.handle, assigned.unique, assigned.reducer, sink)
        with watch_time_limit(self._watch, function, job):
            type, body = await outcome_of_coroutine(function, job, self._hooks, self._threads.run)
        self.done += 1
        # The grab behind the end takes the place of this job.
        grab = connection.table is self._functions.table and self._may_replace(connection)
        if connection.lost.done():
            _log.warning(
                "the end of a job could not be sent", handle=job.handle, reason=connection.lost.result()
            )
        sink.end(type, body, grab)

    def _may_replace(self, connection: AioConnection) -> bool:
        """Whether the next job may come from the connection on which this one has ended."""
        if self._awake and self._awake[0] is connection and self._has_room(len(self._jobs) - 1):
            self._awake.popleft()
            return True
        return False

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # This ends the worker and not a job: the servers give its jobs to others.
            self._failure = self._failure or error
            self._idle.set()
        self._turn()

    # Servers

    async def _keep(self, address: Address) -> None:
        """Stay connected to a server."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        engine = self._engines[address]

        made: list[AioConnection] = []

        def new_connection() -> AioConnection:
            connection = AioConnection(engine, self._functions.table, self)
            made.append(connection)
            self._connections.add(connection)
            connection.lost.add_done_callback(lambda _: self._lost(connection))
            return connection

        while True:
            made.clear()
            try:
                async with asyncio.timeout(self._connect_timeout):
                    if address.path:
                        _, connection = await loop.create_unix_connection(new_connection, address.path)
                    else:
                        tls = context_of(address)
                        _, connection = await loop.create_connection(
                            new_connection, address.host, address.port, ssl=tls
                        )
            except TimeoutError:
                reason = f"no connection within {self._connect_timeout:g} seconds"
            except (OSError, ValueError) as error:
                reason = reason_of(error)
            else:
                backoff.connected()
                self._log.connected(str(address))
                reason = await asyncio.shield(connection.lost)
            for connection in made:
                connection.lose(reason)  # also one whose handshake failed
            backoff.lost()
            self._log.lost(str(address), reason)
            await asyncio.sleep(backoff.pause())

    def _lost(self, connection: AioConnection) -> None:
        self._connections.discard(connection)
        self._turn()
