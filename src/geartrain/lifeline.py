"""A process that ends with the one that started it, however that one ended."""

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
