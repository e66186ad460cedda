"""Connecting in the background, so that an unreachable server delays no job of the others."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from ...sockets import connect
from ...wire.address import Address
from ..engine.keepalive import reason_of


class ConnectAttempt:
    """One attempt to connect, on a thread that ends with it.

    Args:
        address: address of the server.
        timeout: seconds for the attempt.
        done: callback on that thread, when there is a socket or an `error`.
    """

    def __init__(self, address: Address, timeout: float, done: Callable[[], None]) -> None:
        self.error = ""
        """Reason of a failed attempt; empty before."""
        self._address = address
        self._timeout = timeout
        self._done = done
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._given_up = False
        threading.Thread(target=self._run, name=f"geartrain connects {address}", daemon=True).start()

    def take(self) -> socket.socket | None:
        """Return the socket once; None while the attempt goes on, and after an error."""
        with self._lock:
            found, self._socket = self._socket, None
            return found

    def give_up(self) -> None:
        """Close the socket, now or as soon as it is connected."""
        with self._lock:
            self._given_up = True
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _run(self) -> None:
        try:
            found = connect(self._address, self._timeout)
        except Exception as error:
            # Whatever is wrong with the name, the loop has to learn that this attempt is over.
            self.error = reason_of(error)
        else:
            with self._lock:
                if self._given_up:
                    found.close()
                else:
                    self._socket = found
        # The loop may be closed.
        with contextlib.suppress(OSError):
            self._done()
