"""Signals while a worker runs: the first lets the running job finish, a second one does not.

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
"""Seconds to wait for the log line about the signal at the end."""

_log = structlog.get_logger("geartrain.worker")


class StopAtOnce(BaseException):
    """Raised by the second signal, `number`. Handlers do not catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


ENDS_WORKER: Final = (KeyboardInterrupt, StopAtOnce)
"""Exceptions of a handler that end the worker. Any other one fails the job."""


def _say_so(number: int, unsaid: _thread.LockType) -> None:
    try:
        _log.info(
            "stopping when the job in hand is done; another signal stops at once",
            signal=signal.Signals(number).name,
        )
    finally:
        unsaid.release()


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Do nothing. Unlike SIG_IGN, this is not inherited by executed programs."""


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first signal while the block runs, and raise `StopAtOnce` at a second one but
    SIGHUP.

    Only the main thread receives signals; in other threads this does nothing. A signal that was ignored at
    the start stays ignored, as for a shell's background jobs.
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
        # On a thread: the interrupted code may hold a lock of the log.
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
        """Restore the handlers in a forked process, so that a signal stops it and not its worker."""
        for number in ours:
            # A Ctrl-C reaches the child, too, and lets it finish like the job.
            kept = is_jobs and number == signal.SIGINT
            signal.signal(number, _pass_over if kept else previous[number])

    try:
        with restoring_signals(restore):
            yield
    finally:
        for number in ours:
            signal.signal(number, previous[number])
        unsaid.acquire(timeout=SAID_WITHIN)
