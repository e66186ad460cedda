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

from ..errors import GeartrainError
from .calls import Calls
from .channel import Alarm
from .functions import Functions
from .futures import JobFuture
from .group import Group
from .steps import Blocking, Steps, Wait, plain_methods
from .task import Task
from .traffic import Aside, Traffic

T = TypeVar("T")

LONGEST_SLEEP: Final = 3600.0
"""Seconds; the operating system's calls take no more than so many milliseconds."""


@plain_methods
class Client(Traffic, Calls["JobFuture[bytes]"], Functions, Blocking):
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
            self._close_unwanted()
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

    # Running steps. The lock is held whenever the engine or a channel is touched. A signal's handler, as that
    # of Ctrl-C, may raise after almost any call in the main thread. So only a `with` takes the lock, which is
    # sure to give it back, and what waits is called between two of them.

    def run_steps(self, steps: Steps[T]) -> T:
        """Run steps to their end, moving bytes while they wait."""
        engine = self._engine
        leads = False
        events: list[tuple[int, int]] = []
        aside: Aside | None = None
        try:
            while True:
                # Another lock than last time if what was called forked and this is the child.
                with self._lock:
                    if leads:
                        leads = self._leading = False
                        self._end_turn(events)
                    try:
                        while True:
                            if aside is not None:
                                if (call := next(aside, None)) is not None:
                                    function, arguments = call
                                    break
                                aside = None
                            step = next(steps)
                            if not isinstance(step, Wait):
                                self._hand_over()
                                function, arguments = step
                                break
                            if engine.wanted or engine.unwanted:
                                aside = self._serve()
                            elif self._leading:
                                aside = self._follow(step)
                            elif (wait := self._begin_turn(step)) is not None:
                                leads = self._leading = True
                                poll = self._poll.poll
                                break
                    except StopIteration as stop:
                        if engine.news:
                            self._wake_waiters()
                        if self._followers:
                            self._hand_over()
                        result: T = stop.value
                        return result
                if leads:
                    events = poll(wait)
                else:
                    function(*arguments)
        except BaseException as error:
            if leads:
                self._leading = False
            with self._lock:
                self._leave(error, steps, aside)
            raise

    def _leave(self, error: BaseException, steps: Steps[T], aside: Aside | None) -> None:
        """Steps were ended by an error, their own or one that a signal's handler raised anywhere."""
        try:
            if aside is not None:
                aside.close()
            steps.close()
        finally:
            self._wake_waiters()
            if isinstance(error, GeartrainError):
                self._hand_over()
            else:
                # Whatever it came in between of: the others look for themselves.
                for waiter in list(self._followers):
                    _release(waiter)
                self._wake_leader()
            if self._engine.closed and not self._leading:
                self._alarm.close()

    # One of the threads that wait at the same time leads: it alone reads, for all of them. The others follow:
    # each waits for its own waiter, a lock that is released when there is something for it to see.

    def _hand_over(self) -> None:
        """Before a thread goes its own way: have one of those that follow lead."""
        if self._followers and not self._leading:
            _release(next(iter(self._followers)))

    def _follow(self, step: Wait) -> Aside:
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
            self._flush(now)
            # That may have been all that this thread, or another, waits for.
            self._wake_waiters()
            engine = self._engine
            next = engine.next_time
            if (
                engine.wanted
                or engine.unwanted
                or any(channel.changed for channel in self._channels.values())
                or (next is not None and next < self._wakes_at)
            ):
                self._wake_leader()
            wait = -1 if step.deadline is None else min(max(step.deadline - now, 0.0), LONGEST_SLEEP)
            yield waiter.acquire, (True, wait)
        finally:
            if waiter in self._followers:
                del self._followers[waiter]
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

    def _serve(self) -> Aside:
        """Open and close what the engine wants opened and closed; others may lead meanwhile."""
        yield from self._open_and_close()
        self._wake_waiters()
        self._wake_leader()

    def _begin_turn(self, step: Wait) -> int | None:
        """Write what there is to write; returns for how many milliseconds to wait for something to read.

        None if what was written may have been all that the caller waits for.
        """
        engine = self._engine
        now = self._now()
        was_written, more = self._flush(now)
        if was_written:
            if engine.news:
                self._wake_waiters()
            if step.sending:
                return None
        deadline = now if more else step.deadline
        next = engine.next_time
        if deadline is None or (next is not None and next < deadline):
            deadline = next
        wait = LONGEST_SLEEP if deadline is None or deadline > now + LONGEST_SLEEP else deadline - now
        self._wakes_at = now + wait
        self._ticks_at = math.inf if next is None else next
        return math.ceil(wait * 1000) if wait > 0 else 0

    def _end_turn(self, events: list[tuple[int, int]]) -> None:
        """Read what has come, and have the engine do what is due."""
        engine = self._engine
        now = self._now()
        for descriptor, event in events:
            channel = self._channels.get(descriptor)
            if channel is not None:
                self._ready(channel, event, now)
            elif descriptor == self._alarm.descriptor:
                self._alarm.reset()
        if self._ticks_at <= now:
            engine.tick(now)
        if engine.news:
            self._wake_waiters()
        if engine.closed:
            self._alarm.close()

    # What the calls that do not wait need

    def _prepare(self) -> None:
        self._begin()
        _clients.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._leading = False
        self._wakes_at = 0.0
        self._ticks_at = math.inf
        self._followers: dict[threading.Lock, None] = {}
        self._poll = select.poll()
        self._alarm = Alarm()
        self._channels = {}

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
        self.run_steps(self._glance())

    def _glance(self) -> Steps[None]:
        if not self._leading:
            yield Wait(Group(), self._now())


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork() -> None:
    for client in _clients:
        client._forked()


os.register_at_fork(after_in_child=_after_fork)


def _release(waiter: threading.Lock) -> None:
    # A waiter may be woken for two reasons at once.
    with contextlib.suppress(RuntimeError):
        waiter.release()
