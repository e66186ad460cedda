"""The blocking shell: sockets and a lock, no thread."""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
import weakref
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Self, TypeVar

from .calls import Calls
from .channel import NOTHING, Alarm, Channel, reason_of
from .functions import Functions
from .futures import JobFuture
from .link import CONNECTING, UP, Link
from .steps import Blocking, Steps, Wait, plain_methods
from .task import Task

T = TypeVar("T")

READ_SIZE: Final = 64 * 1024
"""Bytes that are read at once at most."""
STALE_AFTER: Final = 0.05
"""Seconds without an answer after which a connection is looked at before it is used again."""
LONGEST_SLEEP: Final = 3600.0
"""Seconds; the operating system's calls take no more than so many milliseconds."""

_READ: Final = select.POLLIN
_WRITE: Final = select.POLLOUT


@plain_methods
class Client(Calls["JobFuture[bytes]"], Functions, Blocking):
    """Submits jobs and waits for them, blocking the thread that calls.

        with Client("127.0.0.1:4730") as client:
            print(client.run("reverse", b"hello"))

    One client may be used by several threads at once: they share its connections, and whichever waits at
    the moment reads for all of them. There is no hidden thread, so a future makes progress only while some
    call to the client waits. After a fork the child begins with connections of its own, and futures from
    before it end there with ConnectionLostError.
    """

    def close(self) -> None:
        """Close all connections. What was not finished ends with ClosedError; a second call does nothing.

        The job servers drop foreground jobs that are still queued and that nobody else waits for.
        """
        with self._lock:
            self._engine.close(self._now())
            self._open_and_close()
            self._wake_waiters()
            self._wake_leader()
            if not self._leading:
                self._alarm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # In a coroutine it may be used too: its futures and results can be awaited.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Running steps. The lock is held whenever the engine or a channel is touched.

    def run_steps(self, steps: Steps[T]) -> T:
        """Run steps to their end, moving bytes while they wait."""
        self._lock.acquire()
        try:
            while True:
                try:
                    step = next(steps)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                if isinstance(step, Wait):
                    if self._leading:
                        self._follow(step)
                    else:
                        self._lead(step.deadline, step.sending)
                else:
                    self._hand_over()
                    self._lock.release()
                    try:
                        step.function(*step.arguments)
                    finally:
                        # Another lock if the function forked and this is the child.
                        self._lock.acquire()
        finally:
            steps.close()
            self._wake_waiters()
            self._hand_over()
            self._lock.release()

    # One of the threads that wait at the same time leads: it alone reads, for all of them. The others follow:
    # each waits for its own waiter, a lock that is released when there is something for it to see.

    def _lead(self, deadline: float | None, sending: bool = False) -> None:
        self._leading = True
        try:
            self._turn(deadline, sending)
        finally:
            self._leading = False
            if self._engine.closed:
                self._alarm.close()

    def _hand_over(self) -> None:
        """Before a thread goes its own way: have one of those that follow lead."""
        if self._followers and not self._leading:
            _release(next(iter(self._followers)))

    def _follow(self, step: Wait) -> None:
        now = self._now()
        waiter = threading.Lock()
        waiter.acquire()
        watched = step.watched
        try:
            # What comes next may raise, and a leader must not hand over to one that has gone.
            self._followers[waiter] = None
            if watched._waiters is None:
                watched._waiters = []
            watched._waiters.append(waiter)
            self._open_and_close()
            self._flush(now)
            # That may have been all that this thread, or another, waits for.
            self._wake_waiters()
            next = self._engine.next_time
            if any(channel.changed for channel in self._channels.values()) or (
                next is not None and next < self._wakes_at
            ):
                self._wake_leader()
            self._lock.release()
            try:
                waiter.acquire(timeout=-1 if step.deadline is None else max(step.deadline - now, 0.0))
            finally:
                self._lock.acquire()
        finally:
            self._followers.pop(waiter, None)
            if watched._waiters is not None and waiter in watched._waiters:
                watched._waiters.remove(waiter)

    def _wake_waiters(self) -> None:
        news = self._engine.news
        if news:
            self._engine.news = []
            for waiter in news:
                _release(waiter)

    def _wake_leader(self) -> None:
        if self._leading:
            self._alarm.ring()

    # Moving bytes

    def _turn(self, deadline: float | None, sending: bool) -> None:
        """Do what the engine wants done, write what there is to write, wait for something to read, read it.

        Does not wait after anything that may have been all that the caller waits for.
        """
        engine = self._engine
        now = self._now()
        if engine.wanted or engine.unwanted:
            self._open_and_close()
            self._wake_waiters()
            return
        was_written, more = self._flush(now)
        if was_written:
            self._wake_waiters()
            if sending:
                return
        if more:
            deadline = now
        next = engine.next_time
        if deadline is None or (next is not None and next < deadline):
            deadline = next
        wait = LONGEST_SLEEP if deadline is None or deadline > now + LONGEST_SLEEP else deadline - now
        self._wakes_at = now + wait
        lock = self._lock
        lock.release()
        try:
            events = self._poll.poll(math.ceil(wait * 1000) if wait > 0 else 0)
        finally:
            lock.acquire()
        now = self._now()
        for descriptor, event in events:
            channel = self._channels.get(descriptor)
            if channel is not None:
                self._ready(channel, event, now)
            elif descriptor == self._alarm.descriptor:
                self._alarm.reset()
        if next is not None and next <= now:
            engine.tick(now)
        if engine.news:
            self._wake_waiters()

    def _open_and_close(self) -> None:
        """Do what the engine asks for: unwanted connections first, since a link may be in both lists."""
        engine = self._engine
        while engine.unwanted or engine.wanted:
            while engine.unwanted:
                channel = engine.unwanted.pop().channel
                if channel is not None:
                    self._close(channel)
            if engine.wanted:
                self._open(engine.wanted.pop(0))

    def _open(self, link: Link) -> None:
        if self._alarm.descriptor is None:
            self._poll.register(self._alarm.open(), _READ)
        channel = link.channel = Channel(link)
        attempt = link.attempt
        # Names are looked up where others can go on meanwhile.
        self._lock.release()
        try:
            channel.look_up()
        finally:
            self._lock.acquire()
        if link.state != CONNECTING or link.attempt != attempt:
            return
        if channel.connect():
            self._register(channel)
        else:
            link.channel = None
            self._engine.lost(link, channel.reason, self._now())

    def _register(self, channel: Channel) -> None:
        assert channel.socket is not None
        channel.descriptor = channel.socket.fileno()
        channel.changed = True
        self._channels[channel.descriptor] = channel
        # A connection that is being opened is ready when it can be written to.
        self._poll.register(
            channel.descriptor, _READ | _WRITE if channel.blocked else _READ if channel.open else _WRITE
        )

    def _unregister(self, channel: Channel) -> None:
        if self._channels.pop(channel.descriptor, None) is not None:
            self._poll.unregister(channel.descriptor)

    def _close(self, channel: Channel) -> None:
        self._unregister(channel)
        channel.close()
        if channel.link.channel is channel:
            channel.link.channel = None

    def _lose(self, channel: Channel, reason: str, now: float) -> None:
        self._close(channel)
        self._engine.lost(channel.link, reason, now)

    def _ready(self, channel: Channel, event: int, now: float) -> None:
        channel.changed = False
        if not channel.open:
            self._opened(channel, now)
            return
        if event & _WRITE:
            self._engine.wrote(channel.link, now)
            channel.blocked = False
            self._poll.modify(channel.descriptor, _READ)
            self._write(channel, now)
        if event & ~_WRITE and channel.socket is not None:
            self._read(channel, now)

    def _opened(self, channel: Channel, now: float) -> None:
        """An attempt to connect is over."""
        self._unregister(channel)
        if not channel.finish():
            self._lose(channel, channel.reason, now)
            return
        self._register(channel)
        if channel.open:
            self._engine.connected(channel.link, now)

    def _read(self, channel: Channel, now: float) -> None:
        assert channel.socket is not None
        try:
            data = channel.socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(channel, reason_of(error), now)
            return
        if data:
            self._engine.received(channel.link, data, now)
        else:
            self._lose(channel, "the server closed the connection", now)

    def _flush(self, now: float) -> tuple[bool, bool]:
        """Write one chunk to each server that has one waiting.

        Says whether anything was written or lost, and whether there is more to write at once.
        """
        wrote = more = False
        for link in self._engine.links:
            if link.queue and link.state == UP:
                channel: Channel = link.channel
                if channel.blocked:
                    continue
                if now - link.heard_at > STALE_AFTER and not link.awaited and not link.jobs:
                    # Nobody has looked at it for a while: has the server ended it?
                    self._read(channel, now)
                    if link.state != UP:
                        return True, True
                self._write(channel, now)
                wrote = True
                more = more or link.state != UP or bool(link.queue and not channel.blocked)
        return wrote, more

    def _write(self, channel: Channel, now: float) -> None:
        assert channel.socket is not None
        data: bytes | memoryview = channel.unsent or self._engine.outgoing(channel.link, now)
        try:
            sent = channel.socket.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(channel, reason_of(error), now)
            return
        channel.unsent = memoryview(data)[sent:] if sent < len(data) else NOTHING
        if channel.unsent and not channel.blocked:
            channel.blocked = channel.changed = True
            self._poll.modify(channel.descriptor, _READ | _WRITE)

    # What the calls that do not wait need

    def _prepare(self) -> None:
        self._begin()
        _clients.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._leading = False
        self._wakes_at = 0.0
        self._followers: dict[threading.Lock, None] = {}
        self._poll = select.poll()
        self._alarm = Alarm()
        self._channels: dict[int, Channel] = {}

    def _forked(self) -> None:
        """This is a child process: the connections and the threads that wait are its parent's."""
        for channel in self._channels.values():
            channel.close()
        self._alarm.close()
        self._begin()
        self._engine.forget("the process was forked", self._now())
        self._engine.news.clear()

    def _future(self, task: Task, progress: bool) -> JobFuture[bytes]:
        return JobFuture(self, task, bytes, progress)

    def _guard(self) -> AbstractContextManager[object]:
        return self._lock

    def _look(self) -> None:
        with self._lock:
            if not self._leading:
                try:
                    self._lead(self._now())
                finally:
                    # Others may have come meanwhile, and followed.
                    self._wake_waiters()
                    self._hand_over()


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork() -> None:
    for client in _clients:
        client._forked()


os.register_at_fork(after_in_child=_after_fork)


def _release(waiter: threading.Lock) -> None:
    # A waiter may be woken for two reasons at once.
    with contextlib.suppress(RuntimeError):
        waiter.release()
