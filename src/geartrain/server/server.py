"""The job server: the broker on an event loop, from the first listening socket to the last byte."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable
from itertools import islice
from typing import Any, Final, cast

import structlog

from ..broker import Broker, Peer
from ..broker.ledger import NUMBERS, first_number, read_reserved
from ..broker.limits import Rules
from ..broker.policy import Policy
from ..broker.records import Document
from ..broker.state import Job
from ..errors import JournalError
from ..journal import Journal, open_journal
from ..version import __version__
from ..wire.address import Address
from ..wire.text import text_of
from .access import Access, Identity, names_of
from .commits import Commits
from .complaints import Complaints
from .connection import Connection
from .cron import next_time, zone_of
from .listeners import Listeners
from .options import ServerOptions
from .report import report
from .schedules import Schedules
from .tls import make_context
from .trace import Trace
from .user import become
from .watch import Watch
from .writer import Writer

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    import uvloop
except ImportError:  # where it does not install, asyncio's own loop does the same, more slowly
    LOOP_NAME = "asyncio"
    new_event_loop = asyncio.new_event_loop
else:
    LOOP_NAME = "uvloop"
    new_event_loop = uvloop.new_event_loop

__all__ = ["LOOP_NAME", "Server", "new_event_loop"]

TICK: Final = 0.1
"""Seconds between two looks of the broker at the clock."""
GRAB_PATIENCE: Final = 0.001
"""Seconds that a grab after a job waits for the next one at least, and at most twice as long."""
TELL_AFTER: Final = 1.0
"""Seconds between two lines of the log about the progress of a long replay."""
STOP_WITHIN: Final = 5.0
"""Seconds that peers have to take what was written to them when the server stops."""
JOURNAL_WITHIN: Final = 10.0
"""Seconds that the journal has to take what there is when the server stops; a disk may hang for ever."""

MAX_LOGGED: Final = 100
"""Stored items that can't be used and are named in the log one by one."""

HOST: Final = ("server", "host")
"""The journal's document that names the host in the handles."""

_log = structlog.get_logger("geartrain.server")


class Server:
    """One job server inside a running event loop.

    `await start()`, then `await stopped()`: it returns when `stop` was called, `drain` has come to its end,
    or a peer sent `shutdown`.
    """

    def __init__(self, options: ServerOptions | None = None, journal: Journal | None = None) -> None:
        self.options = options or ServerOptions()
        self.journal = journal or open_journal(self.options.journal)
        self.broker: Broker = cast(Broker, None)
        self.writer: Writer = cast(Writer, None)
        self.commits: Commits = cast(Commits, None)
        self.schedules: Schedules = cast(Schedules, None)
        self.connections: set[Connection] = set()
        self.clogged: set[Connection] = set()
        """Those that read more slowly than they are written to."""
        self.began_at = time.time()
        self.on_tick: Callable[[], None] | None = None
        """Called at each tick, for what has to show that the loop goes round."""
        self._listeners: Listeners = cast(Listeners, None)
        self._context: ssl.SSLContext | None = None
        self._access: Access | None = None
        self._watch = Watch(self.options, self.connections, self.clogged)
        self._complaints = Complaints()
        self._unfinished = 0
        self._drain_until: float | None = None
        self._all_gone: asyncio.Future[None] | None = None

    # Starting and stopping

    async def start(self, sockets: Iterable[socket.socket] = ()) -> None:
        """Bind every address of the options, take up what the journal kept, and listen.

        In between it becomes the user of the options. `sockets` are listened on instead of the addresses, if
        there are any: whoever started the server has bound them.

        Raises:
            JournalError: the journal can't be used.
            ConfigError: a certificate can't be used.
            OSError: one of the addresses can't be had; then none is listened on.
            ValueError: one of the addresses can't be read.
        """
        addresses = self.options.addresses()
        self.reload()
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        self._listeners = Listeners(self.options, self._make_protocol, lambda: self._context)
        try:
            self._bind(list(sockets), addresses)
            # All that only root may have is there, and the journal's files are to be the user's.
            become(self.options.user)
            documents = await self.journal.open()
            self.broker = self._make_broker(documents)
            for document in documents:
                self.broker.restore_document(document)
            if self._access is not None:
                self._access.guard(self.broker)
            self.writer = Writer(self.broker, self._loop.call_later)
            self.commits = Commits(self.broker, self.journal, self.attend)
            self.broker.jobs.notice = self._notice
            self._set_up_schedules(documents)
            await self._replay()
            self._log_quarantine()
            await self.commits.settle()
            self.follow_log_level()
            self._listeners.listen()
        except BaseException:
            self._listeners.close()
            await self.journal.close()
            raise
        self._ticker = self._loop.call_later(TICK, self._tick)

    async def _replay(self) -> None:
        """Take up every job of the journal, and say how far it is if that takes long."""
        restore = self.broker.restore
        began = told = time.monotonic()
        count = 0
        async for records in self.journal.jobs():
            for record in records:
                restore(record)
            count += len(records)
            if time.monotonic() - told > TELL_AFTER:
                told = time.monotonic()
                _log.info("replaying the journal", jobs=count, seconds=round(told - began, 1))

    def _make_broker(self, documents: list[Document]) -> Broker:
        options = self.options
        host, unusable = _host_of(documents)
        policy = Policy()
        policy.max_attempts = options.job_retries
        policy.max_timeouts = options.job_timeouts
        policy.keep_results = options.keep_results
        broker = Broker(
            host,
            first_number(documents, time.time()),
            now=time.monotonic(),
            wall=time.time(),
            durable=self.journal.durable,
            version=__version__,
            pid=os.getpid(),
            limits=options.limits.for_broker(),
            handle_prefix=options.handle_prefix,
            rules=Rules(
                policy=policy,
                round_robin=options.round_robin,
                worker_wakeup=options.worker_wakeup,
                patient=True,
            ),
        )
        broker.configure(options.functions)
        if self.journal.durable and not any(kept[:2] == HOST for kept in documents):
            broker.keep(Document(*HOST, host.encode()))
        for document, reason in unusable:
            broker.quarantine.add(*document, reason)
        return broker

    def _log_quarantine(self) -> None:
        """Name what the journal kept and can't be used."""
        quarantine = self.broker.quarantine
        for item in islice(quarantine.values(), MAX_LOGGED):
            _log.error(
                "a stored item can't be used: the others are served, and it stays until it is replaced or "
                "dropped (`geartrain quarantine`)",
                kind=item.kind,
                key=item.key,
                reason=item.reason,
            )
        if len(quarantine) > MAX_LOGGED:
            _log.error("more stored items can't be used", items=len(quarantine) - MAX_LOGGED)

    def _set_up_schedules(self, documents: list[Document]) -> None:
        zone = self.options.time_zone
        zone_of(zone)
        self.broker.submissions.next_time = lambda fields, wall: next_time(fields, wall, zone)
        self.broker.builtins.register("geartrain.report", lambda workload: report(self))
        self.schedules = Schedules(self.broker, zone)
        self.schedules.restore(documents, self.options.schedules, time.time())
        self.commits.on_refused = self.schedules.refused

    def _make_protocol(self, address: str) -> asyncio.BaseProtocol:
        # It is one to the event loop, which asks for the methods only.
        return cast(asyncio.BaseProtocol, Connection(self, address))

    def _bind(self, sockets: list[socket.socket], addresses: list[Address]) -> None:
        listeners = self._listeners
        for listening in sockets:
            listeners.adopt(listening, tls=self._context is not None and listening.family != socket.AF_UNIX)
        if not sockets:
            listeners.bind(addresses)

    def warn_if_exposed(self) -> None:
        """Say so if anybody on the network may do anything."""
        exposed = [str(address) for address in self.addresses if not address.is_local]
        if exposed and self._context is None and not self.options.access:
            _log.warning(
                "anybody who reaches this server may use it: consider TLS or an access file",
                addresses=exposed,
            )

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, with the ports that the system chose."""
        return self._listeners.addresses if self._listeners is not None else []

    def reload(self) -> None:
        """Read the certificates and the access file anew.

        Connections that are there go on as they are, but for workers that may not do any more what they do.

        Raises:
            ConfigError: one of them can't be used. Then nothing changes.
        """
        context = make_context(self.options.tls) if self.options.tls.certificate else None
        if self._access is not None:
            self._access.reload()
            for connection in list(self.connections):
                if not self._access.keeps(connection.peer):
                    connection.drop("it may not do any more what it announced")
        elif self.options.access:
            self._access = Access(self.options.access)
        self._context = context

    def follow_log_level(self) -> None:
        """See whether debug messages are logged now; called when that may have changed."""
        self.writer.trace = Trace() if Trace.wanted() else None

    def drain(self) -> None:
        """Take no more jobs and hand none out; stop when the running ones have ended. Twice: stop now."""
        if self._drain_until is not None:
            self.stop()
            return
        timeout = self.options.timeouts.shutdown
        self._drain_until = self.now + timeout if timeout else float("inf")
        self._listeners.close()
        self.broker.close(hand_out=False)
        if running := self.broker.running:
            _log.info("waiting for jobs to end", running=running, seconds=timeout)
        self._go_on_draining()

    def _go_on_draining(self) -> None:
        """Close who has no part in a running job; stop when no job runs, or the time is over."""
        if not self.broker.running or self.now >= cast(float, self._drain_until):
            self.stop()
            return
        for connection in list(self.connections):
            if not self.broker.has_part_in_running(connection.peer):
                connection.close()

    async def stopped(self) -> None:
        """Wait until the server was told to stop, then close every connection and listener.

        Raises:
            JournalError: the disk hangs, so that the journal could not be closed.
        """
        try:
            await self._stopped
        finally:
            self._ticker.cancel()
            self._listeners.close()
            await self._listeners.settle()
            self.broker.close(hand_out=False)
            # Who waits for a commit hears of it before the connections end.
            in_time = await _within(self.commits.finish())
            self.attend()
            self.broker.ended = True
            for connection in list(self.connections):
                connection.close()
            if self.connections:
                self._all_gone = self._loop.create_future()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._all_gone, STOP_WITHIN)
            for connection in list(self.connections):
                connection.abort()
            if not (in_time and await _within(self.commits.finish()) and await _within(self.journal.close())):
                raise JournalError(
                    f"{self.journal.name} did not take the last of it within {JOURNAL_WITHIN:g} seconds: "
                    "what was not acknowledged may be lost"
                )

    def stop(self) -> None:
        """Tell the server to stop; `stopped` returns soon after."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    # Connections come and go

    def opened(self, connection: Connection, transport: asyncio.Transport) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        connection.peer.wants_exceptions = self.options.exceptions
        if self._access is not None:
            certificate = names_of(transport.get_extra_info("peercert"))
            connection.peer.identity = Identity(connection.peer.address, certificate)
        self.broker.connect(connection.peer)
        _log.debug("connected", peer=connection.peer.address, fd=connection.peer.fd)

    def closed(self, connection: Connection, error: Exception | None) -> None:
        """A connection is gone."""
        peer = connection.peer
        self.connections.discard(connection)
        self._listeners.left(peer.address)
        _log.debug("disconnected", peer=peer.address, fd=peer.fd, reason=str(error) if error else "")
        self.broker.disconnect(peer)
        self.attend()
        if self._all_gone is not None and not self.connections and not self._all_gone.done():
            self._all_gone.set_result(None)

    @property
    def now(self) -> float:
        """The time at the last tick: exact enough for time-outs of seconds."""
        return self.broker.jobs.now

    @property
    def max_connections(self) -> int:
        """Connections that it accepts at most."""
        return self._listeners.max_connections

    @property
    def unfinished(self) -> int:
        """Bytes of packets that have not arrived completely."""
        return self._unfinished

    def has_room_for_unfinished(self, change: int) -> bool:
        """Count bytes of packets that have not arrived completely; false if there are too many."""
        self._unfinished += change
        limit = self.options.limits.unfinished
        return change <= 0 or not limit or self._unfinished <= limit

    def complain(self, event: str, peer: Peer, reason: str) -> None:
        """Log what a peer did that it should not."""
        id = peer.id.decode("utf-8", "replace")
        self._complaints(self.now, event, peer=peer.address, fd=peer.fd, id=id, reason=reason)

    def _notice(self, job: Job, what: str) -> None:
        """Log what became of a job that did not end as it should."""
        worker = job.worker
        self._complaints(
            self.now,
            f"a job {what}",
            level=logging.INFO,
            handle=job.handle.decode(),
            function=text_of(job.function.name),
            worker=worker.address if worker is not None else None,
            fd=worker.fd if worker is not None else None,
        )

    # What the broker has to say

    def attend(self) -> None:
        """Write what the broker has for its peers, and see to what it asks for."""
        broker = self.broker
        if broker.shutdown:
            # First, so that who hears that the server shuts down finds nobody who accepts connections.
            self._shut_down()
        self.writer.write_all()
        if broker.commit_is_due:
            self.commits.begin()
        if broker.grabs_wait:
            broker.time_grabs()
            self._loop.call_later(GRAB_PATIENCE, self._answer_grabs)

    def _answer_grabs(self) -> None:
        if self.broker.answer_grabs():
            self._loop.call_later(GRAB_PATIENCE, self._answer_grabs)
        self.writer.write_all()

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK, self._tick)
        now = time.monotonic()
        wall = time.time()
        self.broker.tick(now, wall)
        if not self.broker.submissions.closing:
            self.schedules.tick(wall)
        self.attend()
        self._watch.look(now)
        if self._drain_until is not None:
            self._go_on_draining()
        if self.on_tick is not None:
            self.on_tick()

    def _shut_down(self) -> None:
        """A peer sent `shutdown`; the graceful kind waits until no job is left, as gearmand's does."""
        if self.broker.shutdown == "now" or not self.broker.jobs:
            self.stop()
        elif self._listeners.is_open:
            self._listeners.close()
            self.broker.close(hand_out=True)
            _log.info("waiting for all jobs to end", jobs=len(self.broker.jobs))


def _host_of(documents: list[Document]) -> tuple[str, list[tuple[Document, str]]]:
    """Return the host that handles name, and the documents of the server itself that can't be used.

    Handles name the host that the journal began on, so that they hold wherever it is taken up.
    """
    host = ""
    unusable: list[tuple[Document, str]] = []
    for document in documents:
        if document[:2] == HOST:
            try:
                host = document.value.decode()
            except UnicodeDecodeError:
                unusable.append((document, "the host's name is not UTF-8"))
        elif document[:2] == NUMBERS and not read_reserved(document.value):
            unusable.append((document, "it is not the number of a job"))
    return host or socket.gethostname(), unusable


async def _within(work: Coroutine[Any, Any, None]) -> bool:
    """Whether it ended in the time that the journal has."""
    try:
        await asyncio.wait_for(work, JOURNAL_WITHIN)
    except TimeoutError:
        return False
    return True
