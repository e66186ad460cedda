"""The asyncio shell: protocols in the caller's event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import weakref
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from ..sockets import give_up, has_hung_up, tune
from ..tls import context_of
from .calls import Calls
from .channel import reason_of
from .functions import AsyncFunctions
from .futures import AsyncJobFuture
from .link import UP, Link
from .methods import Awaited, plain_methods
from .steps import Steps, Wait
from .task import Task

T = TypeVar("T")

CLOSED: Final = "the server closed the connection"
WRITE_AHEAD: Final = 256 * 1024
"""Bytes that may wait for a server's socket before no more are made ready for it."""


class Channel(asyncio.Protocol):
    """The connection of a link, while it is being opened and afterwards."""

    def __init__(self, client: AsyncClient, link: Link) -> None:
        self._client = client
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.paused = False
        self.connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self.transport = cast(asyncio.Transport, transport)
        if self.link.channel is not self:
            self.transport.abort()
            return
        self.transport.set_write_buffer_limits(high=WRITE_AHEAD)
        connection = transport.get_extra_info("socket")
        self._descriptor: int = connection.fileno()
        tune(connection)
        self._client._engine.connected(self.link, self._client._now())
        self._client._settle()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self.link.channel is self:
            self._client._engine.received(self.link, data, self._client._now())
            self._client._settle()

    def eof_received(self) -> None:
        """The server has ended the connection. What it has not been sent is for another."""
        if self.link.channel is self and self.transport is not None:
            if self.transport.get_extra_info("sslcontext") is None:
                self.link.unsent = self.transport.get_write_buffer_size()
            self.transport.abort()
            self._client._lost(self, CLOSED)

    @property
    def is_ending(self) -> bool:
        """Whether nothing can be sent any more; the loop is about to tell."""
        assert self.transport is not None
        return self.transport.is_closing() or has_hung_up(self._descriptor)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        assert self.transport is not None
        self.transport.write(data)
        if self.transport.is_closing() and self.transport.get_extra_info("sslcontext") is None:
            self.link.unsent = len(data)

    def pause_writing(self) -> None:
        """The server takes no more for now."""
        self.paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self.paused = False
        self._client._engine.wrote(self.link, self._client._now())
        self._client._settle()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        reason = CLOSED if error is None else reason_of(error)
        self._client._gone(self, reason)


@plain_methods
class AsyncClient(Calls["AsyncJobFuture[bytes]"], AsyncFunctions, Awaited):
    """Submits jobs and waits for them, as `Client`, in asyncio: the same names, awaited.

        async with AsyncClient("127.0.0.1:4730") as client:
            print(await client.run("reverse", b"hello"))

    It belongs to the event loop in which it is first used, and to another one only when that was closed. A
    forked process begins with connections of its own, and what was not finished ends there. What
    happens in one turn of the loop is written at once, so thousands of calls may run side by side over one
    connection. A call that is cancelled is forgotten, and the others go on; the job itself can't be taken
    back.
    """

    async def close(self) -> None:
        """Close all connections. What was not finished ends with ClosedError; a second call does nothing.

        The job servers drop foreground jobs that are still queued and that nobody else waits for.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop.is_closed():
            self._move_to(loop)
        self._engine.close(self._now())
        self._settle()
        while self._channels and self._loop is loop:
            # Several may close at once.
            if self._closed is None or self._closed.done():
                self._closed = loop.create_future()
            await asyncio.shield(self._closed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    _loop: asyncio.AbstractEventLoop | None
    _channels: set[Channel]
    _closed: asyncio.Future[None] | None
    _settling: bool
    _timer: asyncio.TimerHandle | None
    _timer_at: float

    # Running steps

    async def run_steps(self, steps: Steps[T]) -> T:
        """Run steps to their end."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        try:
            while True:
                try:
                    step = next(steps)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                if isinstance(step, Wait):
                    await self._changed(step)
                else:
                    called = step.function(*step.arguments)
                    if inspect.isawaitable(called):
                        await called
        finally:
            steps.close()

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            if not self._loop.is_closed():
                raise RuntimeError("an AsyncClient belongs to the event loop in which it was first used")
            # Nothing is left of what it had there.
            self._engine.forget("its event loop was closed", self._now())
            self._engine.news.clear()
            self._prepare()
        self._loop = loop

    def _forked(self) -> None:
        """In a forked process: the event loop and the connections are the parent's."""
        if self._loop is None:
            return
        transports = [channel.transport for channel in self._channels if channel.transport is not None]
        sockets = [transport.get_extra_info("socket") for transport in transports]
        give_up(socket.fileno() for socket in sockets if socket is not None)
        self._engine.forget("the process was forked", self._now())
        self._engine.news.clear()
        # A transport that is dropped would close its descriptor, whose number may be another file's by then.
        _of_parents.extend(transports)
        self._prepare()

    async def _changed(self, step: Wait) -> None:
        loop = asyncio.get_running_loop()
        watched = step.watched
        waiter = loop.create_future()
        if watched._waiters is None:
            watched._waiters = [waiter]
        else:
            watched._waiters.append(waiter)
        if self._settling or self._engine.is_owed:
            self._settle_soon(loop)
        else:
            # The first one does not wait for company.
            self._settle()
        alarm = None
        if step.deadline is not None:
            alarm = loop.call_later(max(step.deadline - self._now(), 0.0), _wake, waiter)
        try:
            await waiter
        finally:
            if alarm is not None:
                alarm.cancel()
            if watched._waiters is not None and waiter in watched._waiters:
                watched._waiters.remove(waiter)

    # Doing what the engine asks for

    def _start(self, task: Task) -> None:
        """Submit a task without waiting for anything."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        self._engine.submit(task, self._now())
        self._settle_soon(loop)

    def _settle_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._settling:
            # At the end of this turn of the loop, so that what others have to send goes along.
            self._settling = True
            loop.call_soon(self._settle)

    def _settle(self) -> None:
        """Open, close, write and wake what the engine wants opened, closed, written and woken."""
        self._settling = False
        engine = self._engine
        while engine.unwanted:
            channel = engine.unwanted.pop().channel
            if channel is not None:
                self._close(channel)
        while engine.wanted:
            self._open(engine.wanted.pop(0))
        now = self._now()
        # Where the loop has not run for a while, what is over comes before anything is written.
        is_late = self._timer is not None and self._timer_at <= now
        for link in engine.links:
            if not is_late and link.queue and link.state == UP:
                channel = link.channel
                while not channel.paused and not channel.is_ending and (data := engine.outgoing(link, now)):
                    channel.write(data)
        self._wake_waiters()
        self._set_timer(now)

    def _set_timer(self, now: float) -> None:
        """Have the engine told when the time comes that it waits for; a timer that is early may stay."""
        next = self._engine.next_time
        if next is None or (self._timer is not None and self._timer_at <= next):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = next
        self._timer = asyncio.get_running_loop().call_later(max(next - now, 0.0), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._engine.tick(self._now())
        self._settle()

    def _open(self, link: Link) -> None:
        channel = link.channel = Channel(self, link)
        self._channels.add(channel)
        channel.connecting = asyncio.get_running_loop().create_task(self._connect(channel))

    async def _connect(self, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        address = channel.link.address
        try:
            if address.path:
                await loop.create_unix_connection(lambda: channel, address.path)
            else:
                tls = context_of(address)
                await loop.create_connection(lambda: channel, address.host, address.port, ssl=tls)
        except (OSError, ValueError) as error:
            # No certificates, or no name that could be looked up, are ValueErrors.
            self._gone(channel, reason_of(error))
        finally:
            channel.connecting = None
            if channel.transport is None:
                self._forget(channel)

    def _close(self, channel: Channel) -> None:
        channel.link.channel = None
        if channel.transport is not None:
            channel.transport.abort()
        elif channel.connecting is not None:
            channel.connecting.cancel()

    def _gone(self, channel: Channel, reason: str) -> None:
        """A connection has ended or could not be opened."""
        self._forget(channel)
        self._lost(channel, reason)

    def _lost(self, channel: Channel, reason: str) -> None:
        link = channel.link
        if link.channel is channel:
            link.channel = None
            self._engine.lost(link, reason, self._now())
            self._settle()

    def _forget(self, channel: Channel) -> None:
        self._channels.discard(channel)
        if not self._channels and self._closed is not None:
            _wake(self._closed)

    def _wake_waiters(self) -> None:
        news = self._engine.news
        if news:
            self._engine.news = []
            for waiter in news:
                _wake(waiter)

    # What the calls that do not wait need

    def _prepare(self) -> None:
        _clients.add(self)
        self._loop = None
        self._channels = set()
        self._closed = None
        self._settling = False
        self._timer = None
        self._timer_at = 0.0

    def _future(self, task: Task, progress: bool) -> AsyncJobFuture[bytes]:
        return AsyncJobFuture(self, task, bytes, progress)

    def _guard(self) -> AbstractContextManager[object]:
        return nullcontext()

    def _wake_leader(self) -> None:
        """Nothing: nobody but the loop waits for sockets."""

    def _look(self) -> None:
        """Nothing: what has come is taken in by the loop."""


_clients: weakref.WeakSet[AsyncClient] = weakref.WeakSet()
_of_parents: list[asyncio.Transport] = []


def _after_fork() -> None:
    for client in list(_clients):
        client._forked()


os.register_at_fork(after_in_child=_after_fork)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
