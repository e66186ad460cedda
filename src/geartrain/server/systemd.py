"""What systemd and a service tell each other: readiness, a sign of life, sockets that were opened before.

The protocol is a datagram to the socket that `NOTIFY_SOCKET` names, and descriptors from 3 on. Without these
variables in the environment nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Final

FIRST_DESCRIPTOR: Final = 3


def notify(message: str) -> bool:
    """Send `READY=1` and the like; returns whether there was somebody to send it to."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):
        return False
    # An @ stands for the NUL before an abstract name.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), "\0" + path[1:] if path[0] == "@" else path)
        return True
    return False


def monotonic() -> int:
    """Microseconds on the clock that systemd compares a reload with."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def listening_sockets() -> list[socket.socket]:
    """The sockets that this process was handed to listen on; none if they are another one's."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    try:
        count = int(os.environ.get("LISTEN_FDS", ""))
    except ValueError:
        return []
    # They are taken once, and are not for the programs that this one may start.
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    sockets = [socket.socket(fileno=number) for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count)]
    for handed in sockets:
        handed.set_inheritable(False)
    return sockets


class Watchdog:
    """Tells systemd now and then that the server goes on, so that it is started again when it does not."""

    def __init__(self) -> None:
        self._every = 0.0
        self._next = 0.0
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with contextlib.suppress(ValueError):
                # Twice as often as it has to be.
                self._every = int(os.environ.get("WATCHDOG_USEC", "")) / 2_000_000

    def tick(self) -> None:
        """The loop went round."""
        now = time.monotonic()
        if self._every and now >= self._next:
            self._next = now + self._every
            notify("WATCHDOG=1")
