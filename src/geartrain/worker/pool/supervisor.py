"""The parent of worker processes: starts them, starts them anew when they end, and stops them.

It knows nothing of Gearman and imports none of its children's code, so nothing that they do can harm it. A
child is in one of these states:

    RUNNING   it works, or is about to
    PAUSING   it crashed; another one is started after a pause that grows with each crash in a row
    RETIRED   it was asked to stop, and is killed if it has not within the grace. While the supervisor goes
              on, another one was started in its place at once
"""

from __future__ import annotations

import math
import queue
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from ...parent_watch import Terminal
from ..engine.keepalive import LONGEST_PAUSE, Backoff
from .child import Child, ending
from .reload import Watcher

MISUSE: Final = 2
"""A child's exit code when its command line or module is wrong: starting it anew would not help."""
OVERDUE: Final = 124
"""A child's exit code, as that of `timeout`, when a job went past its time limit; it is replaced at once."""
MARGIN: Final = 2.0
"""Seconds beyond the grace after which a child is killed: it gives its jobs back itself, if it can."""
AT_ONCE: Final = 1.0
"""Seconds that children have to end after a second signal."""
LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the children. A signal that comes in the instant before a wait begins does not
end it: its handler runs when the wait is over."""

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_PASSED_ON: Final = (signal.SIGUSR1, signal.SIGUSR2)

_log = structlog.get_logger("geartrain.supervisor")


class Place:
    """A place for one child; when the child ends another one takes it."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.backoff = Backoff()
        self.due = 0.0
        """When a child is started here, if there is none."""


class Supervisor:
    """Keeps processes running that all do the same.

    - A child that ends well (exit code 0) has made room for a fresh one; it is replaced at once.
    - One that crashed is replaced after a pause, of 0.1 seconds at first and 10 at most.
    - SIGTERM and SIGINT stop all children; a second one at once, with exit code 128 + its number.
    - SIGHUP replaces all children: new ones start at once, the old ones finish what they have. Of a terminal
      that has closed it stops them, as SIGTERM does.
    - SIGUSR1 and SIGUSR2 are passed on.

    Args:
        command: what each child runs. It has to stop on SIGTERM, and when its standard input ends.
        processes: how many.
        grace: seconds that a child has to stop.
        reload: folders; a Python file that is changed below them acts as SIGHUP.
    """

    def __init__(
        self, command: Sequence[str], processes: int, *, grace: float = 30.0, reload: Sequence[Path] = ()
    ) -> None:
        if processes < 1:
            raise ValueError(f"a supervisor runs one process or more, not {processes}")
        self._command = command
        self._places = [Place() for _ in range(processes)]
        self._retired: list[Child] = []
        self._grace = grace
        self._reload = reload
        # Signals by their numbers, and lists of files that were changed.
        self._events: queue.SimpleQueue[int | list[str]] = queue.SimpleQueue()
        self._stopping = False
        self._terminal = Terminal()
        self._code = 0
        # Whether a child has been seen to work: then the command can't be wrong.
        self._worked = False

    def run(self) -> int:
        """Supervise until told to stop; returns the exit code for this process. In the main thread only."""
        watcher = Watcher(self._reload, self._events.put) if self._reload else None
        try:
            with _signals(self._events.put):
                self._supervise()
        finally:
            for child in self._children():
                child.kill()
            if watcher is not None:
                watcher.close()
        return self._code

    def _supervise(self) -> None:
        while True:
            self._look_after_children()
            if self._stopping and not self._children():
                return
            try:
                event = self._events.get(timeout=self._patience())
            except queue.Empty:
                continue
            if isinstance(event, list):
                _log.info("the code has changed, starting anew", files=event)
                self._renew()
            elif event in _STOPPING:
                self._stop(event)
            elif event == signal.SIGHUP and self._terminal.closed:
                if not self._stopping:
                    _log.info("the terminal has closed, stopping", grace=self._grace)
                    self._retire_all(self._grace)
            elif event == signal.SIGHUP:
                _log.info("starting anew", signal="SIGHUP")
                self._renew()
            elif event in _PASSED_ON:
                for child in self._children():
                    child.signal(event)

    def _children(self) -> list[Child]:
        return [place.child for place in self._places if place.child is not None] + self._retired

    def _patience(self) -> float:
        """Seconds until something is due or the next look is."""
        due = min(
            [child.kill_at for child in self._children() if not child.killed]
            + [place.due for place in self._places if place.child is None and not self._stopping],
            default=math.inf,
        )
        return min(max(0.0, due - time.monotonic()), LOOK_EVERY)

    # Looking after them

    def _look_after_children(self) -> None:
        for place in self._places:
            if place.child is not None and place.child.ended:
                child, place.child = place.child, None
                self._ended(place, child)
        # After the others, which an end may have retired: one that has ended too sends no further signal.
        for child in self._retired[:]:
            if child.ended:
                self._retired.remove(child)
                self._tell_of(child)
        for child in self._children():
            if child.kill_if_due():
                _log.warning("a process did not stop in time and is killed", pid=child.pid)
        if not self._stopping:
            for place in self._places:
                if place.child is None and time.monotonic() >= place.due:
                    self._start(place)

    def _start(self, place: Place) -> None:
        try:
            place.child = Child(self._command)
        except OSError as error:
            # No memory or process to be had just now.
            _log.error("a process could not be started, trying again", reason=str(error))
            place.due = time.monotonic() + place.backoff.pause()
        else:
            _log.info("started a process", pid=place.child.pid)

    def _ended(self, place: Place, child: Child) -> None:
        self._tell_of(child)
        if child.lived >= LONGEST_PAUSE or child.code in (0, OVERDUE):
            self._worked = True
            place.backoff.reset()
        if child.code in (0, OVERDUE):
            place.due = 0.0
        elif child.code == MISUSE and self._reload:
            place.due = math.inf  # until the code has changed
        elif child.code == MISUSE and not self._worked and not self._stopping:
            self._code = MISUSE
            self._retire_all(self._grace)
        else:
            place.due = time.monotonic() + place.backoff.pause()

    def _tell_of(self, child: Child) -> None:
        child.close()
        if child.killed:
            return  # that was told
        if child.code == 0 or (child.code == -signal.SIGTERM and child.kill_at < math.inf):
            _log.info("a process has ended", pid=child.pid)
        elif child.code == OVERDUE:
            _log.warning("a process has ended with a job that went past its time limit", pid=child.pid)
        else:
            _log.error("a process has ended unexpectedly", pid=child.pid, how=ending(child.code))

    # Stopping and starting anew

    def _renew(self) -> None:
        if self._stopping:
            return
        for place in self._places:
            self._retire(place, self._grace)
            place.backoff.reset()
            place.due = 0.0

    def _retire(self, place: Place, grace: float) -> None:
        child, place.child = place.child, None
        if child is not None:
            child.stop(grace + MARGIN)
            self._retired.append(child)

    def _retire_all(self, grace: float) -> None:
        self._stopping = True
        for place in self._places:
            self._retire(place, grace)

    def _stop(self, number: int) -> None:
        name = signal.Signals(number).name
        if not self._stopping:
            _log.info("stopping; another signal stops at once", signal=name, grace=self._grace)
            self._retire_all(self._grace)
            # Those that were retired before have less time left, and need no second signal.
            return
        _log.info("stopping at once", signal=name)
        self._code = self._code or 128 + number
        for child in self._retired:
            child.stop(AT_ONCE)


@contextmanager
def _signals(receive: Callable[[int], None]) -> Iterator[None]:
    """While the block runs, call `receive` with the number of each signal that a supervisor acts on."""

    def handle(number: int, _: FrameType | None) -> None:
        receive(number)

    wanted = [signal.SIGCHLD, signal.SIGHUP, *_STOPPING, *_PASSED_ON]
    # What this process was started to ignore stays ignored, as `nohup` asks for.
    ours = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
    previous = [(number, signal.signal(number, handle)) for number in ours]
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
