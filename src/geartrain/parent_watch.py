"""A process that ends with the one that started it, or with its terminal."""

from __future__ import annotations

import os
import signal
import sys
import threading


def hold_lifeline() -> None:
    """Send this process SIGTERM when its standard input ends.

    Who holds the other end of that pipe and dies takes this process along: the system closes the pipe.
    """

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


class Terminal:
    """The terminal that this process was started on, if there was one.

    A SIGHUP may ask for a reload, or say that the terminal has closed. Nobody can end a process of a closed
    terminal with Ctrl-C any more, so it should stop by itself, unless `nohup` had it ignore the signal.
    """

    def __init__(self) -> None:
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._descriptors = [] if ignored else [number for number in (0, 1, 2) if os.isatty(number)]

    @property
    def closed(self) -> bool:
        """Whether it was there and has closed."""
        return bool(self._descriptors) and not any(map(os.isatty, self._descriptors))
