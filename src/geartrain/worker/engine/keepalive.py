"""Staying connected, for both shells: timeouts, probes, back-off, and log lines about lost servers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection
from time import monotonic
from typing import Final

import structlog

ANSWER_TIMEOUT: Final = 10.0
"""Seconds for a server to answer a grab or a probe, or to accept any byte that is sent to it."""
FAREWELL_TIMEOUT = 1.0
"""Seconds for a server to read the last bytes of a connection and close it."""
PROBE_INTERVAL: Final = 20.0
"""Seconds of silence before a server is probed with an ECHO_REQ."""
FIRST_PAUSE: Final = 0.1
"""Longest pause in seconds before the second attempt to connect."""
LONGEST_PAUSE: Final = 10.0
"""Longest pause in seconds between two attempts to connect."""
WARNING_INTERVAL: Final = 30.0
"""Seconds between two warnings that no server can be reached."""
NO_ANSWER: Final = f"no answer for {ANSWER_TIMEOUT:g} seconds"

_log = structlog.get_logger("geartrain.worker")


class Backoff:
    """Pauses between attempts to connect, each twice as long as the one before.

    A pause is a random part between a half and the whole of its length, so that the workers of a restarted
    server do not return all at once.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._next = FIRST_PAUSE
        self._connected_at = math.inf

    def pause(self) -> float:
        """Return the seconds to wait before the next attempt."""
        length = self._next
        self._next = min(2 * length, LONGEST_PAUSE)
        return length * (1 + self._chance()) / 2

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._next = FIRST_PAUSE

    def connected(self) -> None:
        """Note that a connection was made."""
        self._connected_at = monotonic()

    def lost(self) -> None:
        """Begin with the shortest pause again if the connection lasted for a while.

        A server that closes each new connection is not retried in haste.
        """
        if monotonic() > self._connected_at + LONGEST_PAUSE:
            self.reset()
        self._connected_at = math.inf


class ConnectionLog:
    """Log lines about the servers of one loop: connected, lost, and none reachable.

    Args:
        servers: names of all servers.
    """

    def __init__(self, servers: Collection[str]) -> None:
        self._servers = servers
        # Reasons why servers can't be reached, by name.
        self._reasons: dict[str, str] = {}
        self._warned_at = -math.inf

    def connected(self, server: str) -> None:
        """Log that a server has answered on a new connection."""
        self._reasons.pop(server, None)
        _log.info("connected to the job server", server=server)

    def lost(self, server: str, reason: str) -> None:
        """Log the first failure of a server, and at intervals that none can be reached."""
        if server not in self._reasons:
            _log.warning("the job server is gone, trying again", server=server, reason=reason)
        self._reasons[server] = reason
        now = monotonic()
        if len(self._reasons) == len(self._servers) and now >= self._warned_at + WARNING_INTERVAL:
            self._warned_at = now
            _log.warning("no job server can be reached, still trying", servers=dict(self._reasons))


def reason_of(error: Exception) -> str:
    """Return an error of a connection in words."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or repr(error)
