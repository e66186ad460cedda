"""One process under a supervisor."""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import time
from collections.abc import Sequence


class Child:
    """A process of its own session, which is to end when its standard input does.

    However the supervisor goes, killed or not, the system closes that pipe, and no child stays behind. Being
    in a session of its own, it gets no Ctrl-C but what the supervisor passes on.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.started = time.monotonic()
        self.kill_at = math.inf
        """When it has had its time to stop."""
        self.killed = False
        """Whether it was killed because it had not stopped by then."""
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        self.pid = self._process.pid

    @property
    def lived(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    @property
    def ended(self) -> bool:
        """Whether it has ended; from then on `code` holds."""
        return self._process.poll() is not None

    @property
    def code(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        return self._process.returncode

    def stop(self, within: float) -> None:
        """Ask it to stop; it is killed if it has not in so many seconds."""
        self.kill_at = min(self.kill_at, time.monotonic() + within)
        self.signal(signal.SIGTERM)

    def kill_if_due(self) -> bool:
        """Kill it if its time to stop is over; returns whether that was done just now."""
        if self.killed or time.monotonic() < self.kill_at:
            return False
        self.killed = True
        self.signal(signal.SIGKILL)
        return True

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without asking, and wait for its end."""
        self._process.kill()
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Let go of what is left of it, after its end."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


def ending(code: int) -> str:
    """How a process ended, in words.

    >>> ending(3), ending(-9)
    ('exit code 3', 'signal SIGKILL')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
