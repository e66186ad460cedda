"""Connecting in the background, so that a server that is gone never holds up the jobs of the others."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from typing import Final

from ...sockets import connect
from ...wire.address import Address

FIRST_PAUSE: Final = 0.1
"""Seconds before the second attempt, at most."""
LONGEST_PAUSE: Final = 10.0
"""Seconds between two attempts at most."""


class Backoff:
    """How long to wait before the next attempt: twice as long each time, and never as long as the others.

    Each pause is a random part between a half and the whole of its length, so that the workers of a server
    that went away do not all come back at the same moment.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._next = FIRST_PAUSE

    def pause(self) -> float:
        """Seconds to wait now."""
        length = self._next
        self._next = min(2 * length, LONGEST_PAUSE)
        return length * (1 + self._chance()) / 2

    def reset(self) -> None:
        """The server was there for a while: begin anew."""
        self._next = FIRST_PAUSE


class Dial:
    """One attempt to connect, on a thread of its own that ends with it.

    Args:
        address: the server's.
        timeout: seconds that the attempt may take.
        done: called on that thread when there is a socket to take or an `error`.
    """

    def __init__(self, address: Address, timeout: float, done: Callable[[], None]) -> None:
        self.error = ""
        """Why there is no connection; empty until that is known."""
        self._address = address
        self._timeout = timeout
        self._done = done
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._given_up = False
        threading.Thread(target=self._run, name=f"geartrain dials {address}", daemon=True).start()

    def take(self) -> socket.socket | None:
        """The socket, once; None while the attempt goes on, and after an error."""
        with self._lock:
            found, self._socket = self._socket, None
            return found

    def give_up(self) -> None:
        """Nobody will take the socket; close it, now or when it is there."""
        with self._lock:
            self._given_up = True
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _run(self) -> None:
        try:
            found = connect(self._address, self._timeout)
        except Exception as error:
            # Names can be wrong in many ways; whatever it is, the loop has to know that this attempt is over.
            self.error = (error.strerror if isinstance(error, OSError) else "") or str(error) or repr(error)
        else:
            with self._lock:
                if self._given_up:
                    found.close()
                else:
                    self._socket = found
        # The loop that waited for this may be gone.
        with contextlib.suppress(OSError):
            self._done()
