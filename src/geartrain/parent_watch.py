"""Processes that end with their parent or with their terminal."""

from __future__ import annotations

import os
import signal
import sys
import threading


def exit_with_parent() -> None:
    """Send this process SIGTERM when its standard input ends.

    The parent holds the other end of the pipe. The system closes it however the parent ends.
    """

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="geartrain parent watch", daemon=True).start()


class Terminal:
    """The terminal on which this process was started, if any.

    SIGHUP may ask for a reload, or report a closed terminal. A process without its terminal stops by itself,
    unless `nohup` makes it ignore the signal.
    """

    def __init__(self) -> None:
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._descriptors = [] if ignored else [number for number in (0, 1, 2) if os.isatty(number)]

    @property
    def closed(self) -> bool:
        """Whether the terminal has closed."""
        return bool(self._descriptors) and not any(map(os.isatty, self._descriptors))
