"""What the blocking shell waits for: the socket of a link, and an alarm to be woken by."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

from ..sockets import tune
from ..tls import secure
from .link import Link

NOTHING: Final = memoryview(b"")
HANDSHAKE_TIMEOUT: Final = 5.0
"""Seconds that a server may take for its part of the TLS handshake; other servers wait meanwhile."""


class Alarm:
    """Wakes the thread that waits for the sockets."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self._other = -1

    def open(self) -> int:
        """Make it ready, unless it is; returns the descriptor to wait for."""
        if self.descriptor is None:
            self.descriptor, self._other = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._other, False)
        return self.descriptor

    def ring(self) -> None:
        """Wake it."""
        if self.descriptor is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._other, b"!")

    def reset(self) -> None:
        """It was heard."""
        if self.descriptor is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self.descriptor, 1024)

    def close(self) -> None:
        """Give the descriptors back."""
        if self.descriptor is not None:
            # In this order: the number may soon be another file's.
            descriptor, self.descriptor = self.descriptor, None
            os.close(descriptor)
            os.close(self._other)


class Channel:
    """The socket of a link, while it is being opened and afterwards."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.socket: socket.socket | None = None
        self.descriptor = -1
        self.open = False
        # What the socket did not take yet; whether it must become writable before it takes more.
        self.unsent = NOTHING
        self.blocked = False
        # Whether a thread that waits for the sockets has to look at this one anew.
        self.changed = False
        # Why the last attempt to connect failed, and the addresses that are left to try.
        self.reason = ""
        self._left: Iterator[tuple[int, Any]] = iter(())

    def look_up(self) -> None:
        """Find the addresses of the server's name."""
        address = self.link.address
        if address.path:
            self._left = iter([(socket.AF_UNIX, address.path)])
            return
        try:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            self.reason = reason_of(error)  # the ValueError: it can't be a name
            return
        self._left = iter([(family, where) for family, _, _, _, where in found])

    def connect(self) -> bool:
        """Begin to connect to the next address; false if none is left."""
        for family, where in self._left:
            self.close()
            try:
                self.socket = socket.socket(family, socket.SOCK_STREAM)
                self.socket.setblocking(False)
                self.socket.connect(where)
            except BlockingIOError:
                return True
            except OSError as error:
                self.reason = reason_of(error)
                continue
            return True
        self.close()
        return False

    def finish(self) -> bool:
        """The socket is ready: whether it is connected, or at least tries another of its addresses."""
        assert self.socket is not None
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.reason = os.strerror(error)
            return self.connect()
        tune(self.socket)
        try:
            self.socket = secure(self.socket, self.link.address, HANDSHAKE_TIMEOUT)
        except (OSError, ValueError) as problem:
            self.reason = reason_of(problem)  # the ValueError: the certificates can't be used
            self.close()
            return self.connect()
        self.open = True
        return True

    def close(self) -> None:
        """End it."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def reason_of(error: BaseException) -> str:
    """What went wrong, in the system's words where it has some."""
    # These two have numbers of their own.
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror | ssl.SSLError) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
