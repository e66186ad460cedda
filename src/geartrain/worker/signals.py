"""Signals while a worker runs: the first lets the job in hand finish, a second one does not.

SIGTERM and SIGINT count each time. SIGHUP counts as the first one only: a terminal that closes may send it
twice, once by the system and once by the shell.
"""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import structlog

from .forks import restoring_signals

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

SAID_WITHIN: Final = 1.0
"""Seconds that the log has to take the line about the signal, when there is nothing else left to do."""

_log = structlog.get_logger("geartrain.worker")


class StopAtOnce(BaseException):
    """A second signal came. No handler is expected to catch it; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


ENDS_WORKER: Final = (KeyboardInterrupt, StopAtOnce)
"""Exceptions in a handler that end the worker; with any other one the job fails and the worker goes on."""


def _say_so(number: int, unsaid: _thread.LockType) -> None:
    try:
        _log.info(
            "stopping when the job in hand is done; another signal stops at once",
            signal=signal.Signals(number).name,
        )
    finally:
        unsaid.release()


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Do nothing; unlike a signal that is ignored, programs that are executed do not inherit this."""


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """While the block runs, the first signal calls `stop`; one more, but a SIGHUP, raises `StopAtOnce`.

    Does nothing in other threads than the main one, which alone receives signals. A signal that the process
    was started to ignore stays ignored, as a shell asks for in the background.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False
    unsaid = _thread.allocate_lock()

    def receive(number: int, _: FrameType | None) -> None:
        nonlocal came
        if came:
            if number == signal.SIGHUP:
                return
            raise StopAtOnce(number)
        came = True
        stop()
        # Not here: the code that was interrupted may be about to log, and hold a lock that logging takes.
        unsaid.acquire()
        _thread.start_new_thread(_say_so, (number, unsaid))

    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    # A program that has a use for SIGHUP keeps it, to read its files again for example.
    ours = [
        number
        for number in _SIGNALS
        if previous[number] is not signal.SIG_IGN
        and not (number == signal.SIGHUP and callable(previous[number]))
    ]
    for number in ours:
        signal.signal(number, receive)

    def restore(is_jobs: bool) -> None:
        """In a forked process: it stops by itself, not its worker."""
        for number in ours:
            # A Ctrl-C reaches it, too, and lets it finish as it lets the job.
            kept = is_jobs and number == signal.SIGINT
            signal.signal(number, _pass_over if kept else previous[number])

    try:
        with restoring_signals(restore):
            yield
    finally:
        for number in ours:
            signal.signal(number, previous[number])
        unsaid.acquire(timeout=SAID_WITHIN)
