"""The job server: the broker on an event loop, from the first listening socket to the last byte."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from typing import Final, cast

import structlog

from ..broker import Broker
from ..broker.records import Document
from ..journal import Journal, open_journal
from ..sockets import tune
from ..version import __version__
from ..wire.address import Address
from .commits import Commits
from .connection import Connection, write_touched
from .options import ServerOptions

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    from uvloop import new_event_loop

    LOOP_NAME = "uvloop"
except ImportError:  # where it does not install, asyncio's own loop does the same, more slowly
    from asyncio import new_event_loop

    LOOP_NAME = "asyncio"

TICK: Final = 0.1
"""Seconds between two looks of the broker at the clock."""
STOP_WITHIN: Final = 5.0
"""Seconds that peers have to take what was written to them when the server stops."""

HOST: Final = ("server", "host")
"""The journal's document that names the host in the handles."""

_log = structlog.get_logger("geartrain.server")


class Server:
    """One job server inside a running event loop.

    `await start()`, then `await stopped()`: it returns when `stop` was called or a peer sent `shutdown`.
    """

    def __init__(self, options: ServerOptions | None = None, journal: Journal | None = None) -> None:
        self.options = options or ServerOptions()
        self.journal = journal or open_journal(self.options.journal)
        self.broker: Broker = cast(Broker, None)
        self.commits: Commits = cast(Commits, None)
        self.connections: set[Connection] = set()
        self.addresses: list[Address] = []
        """Where it listens, with the ports that the system chose."""
        self._listeners: list[asyncio.Server] = []
        self._paths: list[str] = []
        self.on_replay: Callable[[int], None] | None = None
        """Called now and then while the journal is replayed, with the number of jobs so far."""
        self._all_gone: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Take up what the journal kept, then listen on every address of the options.

        Raises:
            JournalError: the journal can't be used.
            OSError: one of the addresses can't be had; then none is listened on.
            ValueError: one of the addresses can't be read.
        """
        addresses = self.options.addresses()
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        documents = await self.journal.open()
        try:
            self.broker = self._make_broker(documents)
            for document in documents:
                self.broker.restore_document(document)
            self.commits = Commits(self.broker, self.journal, self.attend)
            async for records in self.journal.jobs():
                for record in records:
                    self.broker.restore(record)
                if self.on_replay is not None:
                    self.on_replay(len(self.broker.jobs))
            for address in addresses:
                await self._listen(address)
        except BaseException:
            await self._close_listeners()
            await self.journal.close()
            raise
        self._ticker = self._loop.call_later(TICK, self._tick)

    def _make_broker(self, documents: list[Document]) -> Broker:
        # Handles name the host that the journal began on, so that they hold wherever it is taken up.
        host = next((kept.value.decode() for kept in documents if kept[:2] == HOST), socket.gethostname())
        broker = Broker(
            host,
            # Larger than any handle's number of an earlier run, as no server makes a million jobs a second.
            time.time_ns() // 1000,
            now=time.monotonic(),
            wall=time.time(),
            durable=self.journal.durable,
            version=__version__,
            pid=os.getpid(),
        )
        if self.journal.durable and not documents:
            broker.keep(Document(*HOST, host.encode()))
        return broker

    async def _listen(self, address: Address) -> None:
        backlog = self.options.backlog
        if address.path:
            _make_way(address.path)
            listener = await self._loop.create_unix_server(self._make_protocol, address.path, backlog=backlog)
            self._paths.append(address.path)
            self.addresses.append(address)
        else:
            listener = await self._loop.create_server(
                self._make_protocol, address.host, address.port, backlog=backlog
            )
            for listening in listener.sockets:
                host, port = listening.getsockname()[:2]
                self.addresses.append(Address(host, port))
        for listening in listener.sockets:
            # Accepted sockets inherit it.
            with contextlib.suppress(OSError):
                tune(listening)
        self._listeners.append(listener)

    def _make_protocol(self) -> asyncio.BaseProtocol:
        # It is one to the event loop, which asks for the methods only.
        return cast(asyncio.BaseProtocol, Connection(self))

    async def stopped(self) -> None:
        """Wait until the server was told to stop, then close every connection and listener."""
        try:
            await self._stopped
        finally:
            self._ticker.cancel()
            await self._close_listeners()
            self.attend()
            for connection in list(self.connections):
                connection.close()
            if self.connections:
                self._all_gone = self._loop.create_future()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._all_gone, STOP_WITHIN)
            for connection in list(self.connections):
                connection.abort()
            await self.commits.finish()
            await self.journal.close()

    def stop(self) -> None:
        """Tell the server to stop; `stopped` returns soon after."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    # Connections come and go

    def opened(self, connection: Connection) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        self.broker.connect(connection.peer)

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self.broker.disconnect(connection.peer)
        self.attend()
        if self._all_gone is not None and not self.connections and not self._all_gone.done():
            self._all_gone.set_result(None)

    # What the broker has to say

    def attend(self) -> None:
        """Write what the broker has for its peers, and see to what it asks for."""
        broker = self.broker
        write_touched(broker)
        if broker.commit_is_due:
            self.commits.begin()
        if broker.shutdown:
            self._shut_down()

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK, self._tick)
        self.broker.tick(time.monotonic(), time.time())
        self.attend()

    def _shut_down(self) -> None:
        """A peer sent `shutdown`; the graceful kind waits until no job is left."""
        if self.broker.shutdown == "now" or not self.broker.jobs:
            self.stop()
        elif self._listeners:
            for listener in self._listeners:
                listener.close()
            self._listeners = []

    async def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        for path in self._paths:
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._paths = []


def _make_way(path: str) -> None:
    """Remove a Unix socket whose owner is gone; the event loop would remove one that answers, too.

    Raises:
        OSError: somebody answers there.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
                else:
                    raise OSError(errno.EADDRINUSE, "address already in use", path)


def serve(options: ServerOptions | None = None, on_ready: Callable[[Server], None] | None = None) -> None:
    """Run a job server until SIGTERM, SIGINT or a `shutdown` command.

    `on_ready` is called once it listens.

    Raises:
        OSError: an address can't be listened on.
        ValueError: an option can't be understood.
    """

    async def main() -> None:
        server = Server(options)
        await server.start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        if on_ready is not None:
            on_ready(server)
        await server.stopped()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
