"""Whose turn it is to read, of the threads that use one blocking client."""

from __future__ import annotations

import contextlib
import math
import select
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Final, TypeVar

from ..errors import GeartrainError
from ..signals import call_checking_signals
from ..spin import MAY_SPIN, SPIN_SECONDS, spin_poll
from .channel import Alarm
from .engine import Engine
from .steps import Invoke, Steps, Wait
from .traffic import Aside, Traffic
from .watched import Owed

T = TypeVar("T")

LONGEST_SLEEP: Final = 3600.0
"""Seconds; the operating system's calls take no more than so many milliseconds."""


class Turns(Traffic):
    """Runs steps for any number of threads: one of those that wait leads and moves the bytes of all."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.begin()

    def begin(self) -> None:
        """Have no connection and nobody who waits."""
        self.lock = threading.Lock()
        """Held whenever the engine or a channel is touched."""
        self.leading = False
        """Whether a thread waits for the sockets."""
        self.followers: dict[threading.Lock, None] = {}
        """What each of the others that wait is woken by."""
        self.poll = select.poll()
        self.alarm = Alarm()
        self.channels = {}
        # When the last turn began and ended, and whether what was waited for last came at once.
        self._began = 0.0
        self._ended = 0.0
        self._is_near = False
        self._wakes_at = 0.0
        self._ticks_at = math.inf

    def close(self) -> None:
        """Close all connections; what was not finished ends with ClosedError."""
        with self.lock:
            self.engine.close(monotonic())
            self._close_unwanted()
            self.wake_waiters()
            self.wake_leader()
            if not self.leading:
                self.alarm.close()

    def forked(self) -> None:
        """This is a child process: the connections and the threads that wait are its parent's."""
        for channel in self.channels.values():
            channel.close()
        self.alarm.close()
        self.begin()
        self.engine.forget("the process was forked", monotonic())
        # This thread may be one of those that wait: it forked in a signal's handler.
        self.wake_waiters()

    # Running steps. The lock is held whenever the engine or a channel is touched. A signal's handler, as that
    # of Ctrl-C, may raise after almost any call in the main thread. So only a `with` takes the lock, which is
    # sure to give it back, and what waits is called between two of them.

    def run_steps(self, steps: Steps[T]) -> T:
        """Run steps to their end, moving bytes while they wait."""
        engine = self.engine
        results: list[T] = []
        relay = _relay(steps, results)
        leads = False
        began = 0.0
        events: list[tuple[int, int]] = []
        aside: Aside | None = None
        waits: Wait | None = None
        try:
            while True:
                # Another lock than last time if what was called forked and this is the child.
                with self.lock:
                    if leads:
                        leads = self.leading = False
                        self._end_turn(events)
                    while True:
                        if aside is not None:
                            if (call := next(aside, None)) is not None:
                                function, arguments = call
                                break
                            aside = None
                        if waits is None or _may_go_on(waits):
                            step = next(relay, None)
                            if step is None:
                                if engine.news:
                                    self.wake_waiters()
                                if engine.withdraws:
                                    self.wake_leader()
                                if self.followers:
                                    self._hand_over()
                                if began:
                                    # A job is acknowledged and done: that is two turns.
                                    self._is_near = self._ended - began < 2 * SPIN_SECONDS
                                return results[0]
                            if isinstance(step, Invoke):
                                waits = None
                                self._hand_over()
                                function, arguments = step.function, step.arguments
                                break
                            waits = step
                        if engine.wanted or engine.unwanted:
                            aside = self._serve()
                        elif self.leading:
                            aside = self._follow(waits)
                        elif (wait := self._begin_turn(waits)) is not None:
                            leads = self.leading = True
                            poll = self.poll.poll
                            if wait:
                                began = began or self._began
                            break
                if leads:
                    events = []
                    if MAY_SPIN and wait and self._is_near:
                        events = spin_poll(poll)
                        # In vain: what this call waits for is slow, however long it goes on.
                        self._is_near = bool(events)
                    if not events:
                        events = call_checking_signals(poll, wait)
                else:
                    call_checking_signals(function, *arguments)
        except BaseException as error:
            if leads:
                self.leading = False
            try:
                with self.lock:
                    self._leave(error, steps, aside)
            finally:
                # Should another signal's handler have raised: compiled, nobody else closes what is dropped.
                if aside is not None:
                    aside.close()
            raise

    def _leave(self, error: BaseException, steps: Steps[T], aside: Aside | None) -> None:
        """Steps were ended by an error, their own or one that a signal's handler raised anywhere."""
        try:
            if aside is not None:
                aside.close()
            steps.close()
        finally:
            self.wake_waiters()
            if isinstance(error, GeartrainError):
                if self.engine.withdraws:
                    self.wake_leader()
                self._hand_over()
            else:
                # Whatever it came in between of: the others look for themselves.
                for waiter in list(self.followers):
                    _release(waiter)
                self.wake_leader()
            if self.engine.closed and not self.leading:
                self.alarm.close()

    # One of the threads that wait at the same time leads: it alone reads, for all of them. The others follow:
    # each waits for its own waiter, a lock that is released when there is something for it to see.

    def _hand_over(self) -> None:
        """Before a thread goes its own way: have one of those that follow lead."""
        if self.followers and not self.leading:
            _release(next(iter(self.followers)))

    def _follow(self, step: Wait) -> Aside:
        now = monotonic()
        waiter = threading.Lock()
        waiter.acquire()
        watched = step.watched
        try:
            # What comes next may raise, and a leader must not hand over to one that has gone.
            self.followers[waiter] = None
            waiters = watched._waiters
            if waiters is None:
                watched._waiters = [waiter]
            else:
                waiters.append(waiter)
            self._flush(now)
            # That may have been all that this thread, or another, waits for.
            self.wake_waiters()
            engine = self.engine
            next = engine.next_time
            if (
                engine.wanted
                or engine.unwanted
                or any(channel.changed for channel in self.channels.values())
                or (next is not None and next < self._wakes_at)
            ):
                self.wake_leader()
            wait = -1 if step.deadline is None else min(max(step.deadline - now, 0.0), LONGEST_SLEEP)
            yield waiter.acquire, (True, wait)
        finally:
            if waiter in self.followers:
                del self.followers[waiter]
            if watched._waiters is not None and waiter in watched._waiters:
                watched._waiters.remove(waiter)

    def wake_waiters(self) -> None:
        """Have those look for whom there is something to see."""
        news = self.engine.news
        if news:
            self.engine.news = []
            for waiter in news:
                _release(waiter)

    def wake_leader(self) -> None:
        """Have the thread that waits for the sockets look at what has changed."""
        if self.leading:
            self.alarm.ring()
        elif self.engine.withdraws:
            # No call may come that would write it.
            self.engine.withdraws = False
            self._flush(monotonic())

    def _serve(self) -> Aside:
        """Open and close what the engine wants opened and closed; others may lead meanwhile."""
        yield from self._open_and_close()
        self.wake_waiters()
        self.wake_leader()

    def _begin_turn(self, step: Wait) -> int | None:
        """Write what there is to write; returns for how many milliseconds to wait for something to read.

        None if what was written may have been all that the caller waits for.
        """
        engine = self.engine
        now = monotonic()
        if self._ticks_at <= now:
            # Nobody has waited for a while. What has come and what is over comes before anything is written.
            self._began = self._wakes_at = now
            return 0
        was_written, more = self._flush(now)
        if was_written:
            if engine.news:
                self.wake_waiters()
            if step.sending:
                return None
        deadline = now if more else step.deadline
        next = engine.next_time
        if deadline is None or (next is not None and next < deadline):
            deadline = next
        wait = LONGEST_SLEEP if deadline is None or deadline > now + LONGEST_SLEEP else deadline - now
        self._began = now
        self._wakes_at = now + wait
        self._ticks_at = math.inf if next is None else next
        return math.ceil(wait * 1000) if wait > 0 else 0

    def _end_turn(self, events: list[tuple[int, int]]) -> None:
        """Read what has come, and have the engine do what is due."""
        engine = self.engine
        now = monotonic()
        self._ended = now
        for descriptor, event in events:
            channel = self.channels.get(descriptor)
            if channel is not None:
                self._ready(channel, event, now)
            elif descriptor == self.alarm.descriptor:
                self.alarm.reset()
        if self._ticks_at <= now:
            self._ticks_at = math.inf
            engine.tick(now)
        if engine.news:
            self.wake_waiters()
        if engine.closed:
            self.alarm.close()


def _may_go_on(step: Wait) -> bool:
    """Whether there may be something to see for steps: if they wait for no more than an end, that is it."""
    watched = step.watched
    return step.deadline is not None or not isinstance(watched, Owed) or watched._is_observed or watched.done


def _relay(steps: Steps[T], results: list[T]) -> Iterator[Wait | Invoke]:
    """Hand steps on, and keep what they return.

    A compiled function would catch it in a StopIteration, at the price of a sixteenth of a `client.run`.
    """
    results.append((yield from steps))


def _release(waiter: threading.Lock) -> None:
    # A waiter may be woken for two reasons at once.
    with contextlib.suppress(RuntimeError):
        waiter.release()
