"""Which server a task goes to, and which are avoided for a while."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from .link import DOWN, UP, Link
from .record import TaskRecord

FIRST_AVOIDANCE: Final = 1.0
"""Seconds for which a server is avoided that could not be reached once; each further time it doubles."""
LONGEST_AVOIDANCE: Final = 30.0
"""Seconds for which it is avoided at most."""


class Router:
    """Chooses among the links of one client.

    A server that failed is avoided for a while, which means that others are preferred. If there is no other
    a task may still try it, but once only: what could not connect since the task has to be placed is not
    tried again for it.
    """

    def __init__(self, links: Sequence[Link], by_unique: bool) -> None:
        self._links = links
        self._by_unique = by_unique
        self._current = links[0]
        self._turn = 0

    def fails(self, link: Link, now: float) -> None:
        """A link could not be opened, or its server did not answer."""
        seconds = min(FIRST_AVOIDANCE * 2 ** min(link.failures, 16), LONGEST_AVOIDANCE)
        link.failures += 1
        link.avoid_until = now + seconds

    def works(self, link: Link) -> None:
        """A link's server has answered."""
        link.failures = 0
        link.avoid_until = 0.0

    def avoids(self, link: Link, now: float) -> bool:
        """Whether others are preferred to this link."""
        return link.is_leaving if link.state == UP else link.avoid_until > now

    def skips(self, link: Link, now: float) -> bool:
        """Whether a question that others have answered is not for this link: it would take long in vain.

        A server that refused the last connection is asked: it may be back, and know more than the others.
        """
        return link.state != UP and link.is_slow_to_fail and link.avoid_until > now

    def in_order(self, now: float) -> list[Link]:
        """All links in the order in which to ask them: those in use, the others, those that are avoided."""
        return sorted(
            self._links,
            key=lambda link: (self.avoids(link, now), link.state != UP, link is not self._current),
        )

    def choose(self, task: TaskRecord, since: int, now: float) -> Link | None:
        """The link for a task.

        `since` is the number of the last connection attempt before the task had to be placed. None is left
        if each server has failed in a later one.
        """
        current = self._current
        if not self._by_unique and current.state == UP and not current.is_leaving:
            return current
        live = [link for link in self._links if link.state == UP or link.failed <= since]
        if not live:
            return None
        live = [link for link in live if not self.avoids(link, now)] or live
        if not self._by_unique:
            # The one in use as long as it can be, else the first in the order of the configuration, but
            # rather one that is connected or about to be.
            self._current = current if current in live and current.state != DOWN else self._first(live)
            return self._current
        if len(live) == 1:
            return live[0]
        if not task.unique:
            self._turn += 1
            return live[self._turn % len(live)]
        unique = task.unique.encode("utf-8", "surrogateescape") if task.unique != "-" else task.workload
        key = task.function.encode("utf-8", "surrogateescape") + b"\0" + unique
        return max(live, key=lambda link: weight(link.name, key))

    def _first(self, live: list[Link]) -> Link:
        return max(live, key=lambda link: link.state)


def weight(server: str, key: bytes) -> bytes:
    """How much a server claims a key: the highest weight of those that live has it (rendezvous hashing).

    All clients that write the servers' addresses alike agree, whatever the order of their lists, and when a
    server comes or goes only its own share of the keys moves.
    """
    return blake2b(server.encode() + b"\0" + key, digest_size=8).digest()
