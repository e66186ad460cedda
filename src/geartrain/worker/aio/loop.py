"""The grab loop on an event loop: many jobs at a time, one connection for each server."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence

import structlog

from ...tls import context_of
from ...wire import packets as p
from ...wire.address import Address
from ...wire.text import text_of
from ..engine.engine import Assignment, Engine
from ..functions import Table
from ..hooks import Hooks
from ..job import Job
from ..outcome import outcome_of_coroutine
from ..sync.connector import LONGEST_PAUSE, Backoff
from ..sync.servers import COMPLAINT_INTERVAL
from ..time_limits import Watch, watched
from .connection import Attempt, Link
from .threads import Threads

_log = structlog.get_logger("geartrain.worker")


class CoroutineLoop:
    """Does the jobs of a worker's functions on one event loop, up to `concurrency` at a time."""

    def __init__(
        self,
        addresses: Sequence[Address],
        functions: Table,
        client_id: str,
        connect_timeout: float,
        hooks: Hooks,
        watch: Watch | None,
        concurrency: int,
        max_jobs: float = math.inf,
    ) -> None:
        self.done = 0
        """Jobs that were done."""
        self._engines = {
            address: Engine(str(address), client_id.encode(), address.token) for address in addresses
        }
        self._functions = functions
        self._connect_timeout = connect_timeout
        self._hooks = hooks
        self._watch = watch
        self._concurrency = concurrency
        self._max_jobs = max_jobs
        # For plain functions: a job that was taken must not wait for a thread.
        self._threads = Threads(concurrency, self._turn)
        self._links: set[Link] = set()
        # The links that may have a job for us, the one whose turn it is first.
        self._awake: deque[Link] = deque()
        self._jobs: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._idle = asyncio.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Why servers can't be reached, and when that was last complained of.
        self._reasons: dict[Address, str] = {}
        self._complained = -COMPLAINT_INTERVAL

    # From any thread

    def stop(self) -> None:
        """Have `run` return when the jobs in hand are done."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Something has changed: look at it."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._turn)
            except RuntimeError:
                pass  # the loop is closed: nobody needs to know any more

    def forked(self) -> list[int]:
        """In a forked process: give up all connections; return their descriptors."""
        return [link.forked() for link in self._links]

    # On its event loop

    async def run(self) -> int:
        """Do jobs until told to stop; returns how many. Being cancelled, it gives the jobs in hand back."""
        self._loop = asyncio.get_running_loop()
        keepers = [asyncio.create_task(self._keep(address)) for address in self._engines]
        try:
            self._turn()
            await self._idle.wait()
            if self._failure is not None:
                raise self._failure
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*(link.hang_up() for link in list(self._links)))
        finally:
            self._stopping = True
            self._threads.close()
            for task in [*keepers, *self._jobs]:
                task.cancel()
            for link in list(self._links):
                link.lose("closed")
            await asyncio.gather(*keepers, *self._jobs, return_exceptions=True)
        return self.done

    def _turn(self) -> None:
        """Do what there is to do: announce what has changed, grab, or note that all is done."""
        if self.done >= self._max_jobs:
            self._stopping = True
        table = self._functions.table
        for link in self._links:
            if link.table is not table and not link.grabbing:
                link.announce(table)
        while self._may_grab:
            self._awake.popleft().grab()
        if self._stopping and not self._jobs and not any(link.grabbing for link in self._links):
            self._idle.set()

    @property
    def _may_grab(self) -> bool:
        while self._awake and not self._awake[0].awake:
            self._awake.popleft()
        return bool(self._awake) and self._has_room(len(self._jobs))

    def _has_room(self, jobs: int) -> bool:
        """Whether one more may be asked for beside so many jobs in hand."""
        grabs = sum(link.grabbing for link in self._links)
        # Nobody knows before whether the next job needs a thread.
        room = min(self._concurrency - self._threads.lacking, self._max_jobs - self.done)
        return not self._stopping and jobs + grabs < room

    # What the links tell

    def assigned(self, attempt: Attempt, assignment: Assignment) -> None:
        """A job has come: do it beside the others."""
        task = asyncio.get_running_loop().create_task(self._do(attempt, assignment))
        self._jobs.add(task)
        task.add_done_callback(self._ended)

    def answered(self, link: Link) -> None:
        """The server has said something."""
        if link.awake and link not in self._awake:
            self._awake.append(link)
        self._turn()

    # One job

    async def _do(self, attempt: Attempt, assigned: Assignment) -> None:
        link = attempt.link
        function = link.engine.announced.get(assigned.function)
        if function is None:
            _log.error("a job of a function that was not announced", function=text_of(assigned.function))
            attempt.end(p.WORK_FAIL, None, False)
            return
        job = Job(
            function.name, assigned.workload, assigned.handle, assigned.unique, assigned.reducer, attempt
        )
        with watched(self._watch, function, job):
            type, body = await outcome_of_coroutine(function, job, self._hooks, self._threads.run)
        self.done += 1
        # The grab that goes out with it takes the place of this job.
        grab = link.table is self._functions.table and self._may_replace(link)
        if link.lost.done():
            _log.warning("a job's end could not be told", handle=job.handle, reason=link.lost.result())
        attempt.end(type, body, grab)

    def _may_replace(self, link: Link) -> bool:
        """Whether a job that has ended on this link makes room for another one from there."""
        if self._awake and self._awake[0] is link and self._has_room(len(self._jobs) - 1):
            self._awake.popleft()
            return True
        return False

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # With this no job ends, but the worker: then the servers give its jobs to others.
            self._failure = self._failure or error
            self._idle.set()
        self._turn()

    # Servers

    async def _keep(self, address: Address) -> None:
        """Stay connected to a server."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        engine = self._engines[address]

        made: list[Link] = []

        def new_link() -> Link:
            link = Link(engine, self._functions.table, self)
            made.append(link)
            self._links.add(link)
            link.lost.add_done_callback(lambda _: self._lost(link))
            return link

        while True:
            began = time.monotonic()
            made.clear()
            try:
                async with asyncio.timeout(self._connect_timeout):
                    if address.path:
                        _, link = await loop.create_unix_connection(new_link, address.path)
                    else:
                        tls = context_of(address)
                        _, link = await loop.create_connection(new_link, address.host, address.port, ssl=tls)
            except TimeoutError:
                reason = f"no connection within {self._connect_timeout:g} seconds"
            except (OSError, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
            else:
                self._reasons.pop(address, None)
                _log.info("connected to the job server", server=str(address))
                reason = await asyncio.shield(link.lost)
            for link in made:
                link.lose(reason)  # also one whose handshake failed, of which nothing more is heard
            if time.monotonic() > began + LONGEST_PAUSE:
                backoff.reset()
            self._complain(address, reason)
            await asyncio.sleep(backoff.pause())

    def _lost(self, link: Link) -> None:
        self._links.discard(link)
        self._turn()

    def _complain(self, address: Address, reason: str) -> None:
        if address not in self._reasons:
            _log.warning("the job server is gone, trying again", server=str(address), reason=reason)
        self._reasons[address] = reason
        now = time.monotonic()
        if len(self._reasons) == len(self._engines) and now >= self._complained + COMPLAINT_INTERVAL:
            self._complained = now
            reasons = {str(each): why for each, why in self._reasons.items()}
            _log.warning("no job server can be reached, still trying", servers=reasons)
