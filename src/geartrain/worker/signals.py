"""SIGTERM and SIGINT while a worker runs: the first lets the job in hand finish, the second does not."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import structlog

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("geartrain.worker")


class StopAtOnce(BaseException):
    """A second signal came. No handler is expected to catch it; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _say_so(number: int) -> None:
    _log.info(
        "stopping when the job in hand is done; another signal stops at once",
        signal=signal.Signals(number).name,
    )


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """While the block runs, the first signal calls `stop` and the second raises `StopAtOnce` in the block.

    Does nothing in other threads than the main one, which alone receives signals. A signal that the process
    was started to ignore stays ignored, as a shell asks for in the background.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def receive(number: int, _: FrameType | None) -> None:
        nonlocal came
        if came:
            raise StopAtOnce(number)
        came = True
        stop()
        # Not here: the code that was interrupted may be about to log, and hold a lock that logging takes.
        _thread.start_new_thread(_say_so, (number,))

    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number in _SIGNALS if previous[number] is not signal.SIG_IGN]
    for number in ours:
        signal.signal(number, receive)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, previous[number])
