"""An engine on the bench: no sockets, no clock; the test is the server and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geartrain.client.engine import Engine
from geartrain.client.group import Group
from geartrain.client.link import Link
from geartrain.client.task import Task
from geartrain.wire import packets as p
from geartrain.wire.address import parse_address
from geartrain.wire.codec import arguments, response
from geartrain.wire.parser import Parser


class Bench:
    """An engine whose servers are played by the test. `now` is the time, `wall` is added to it for people."""

    def __init__(
        self, *servers: str, by_unique: bool = False, prefix: bytes = b"", options: Sequence[bytes] = ()
    ) -> None:
        self.now = 100.0
        self.engine = Engine(
            [parse_address(server) for server in servers or ("a",)],
            by_unique=by_unique,
            prefix=prefix,
            options=options,
            connect_timeout=5.0,
            probe_interval=15.0,
            probe_timeout=10.0,
            wall_offset=1_000_000.0,
        )
        self.links = self.engine.links

    def submit(
        self, function: str = "f", workload: bytes = b"", group: Group | None = None, **keywords: Any
    ) -> Task:
        task = Task(function, workload, **keywords)
        if group is not None:
            task._group = group
            group.remaining += 1
        self.engine.submit(task, self.now)
        return task

    def open(self) -> Link:
        """Let the connection succeed that the engine wants; there must be exactly one."""
        (link,) = self.take_wanted()
        self.engine.connected(link, self.now)
        return link

    def refuse(self, reason: str = "refused") -> Link:
        """Let the connection fail that the engine wants; there must be exactly one."""
        (link,) = self.take_wanted()
        self.engine.lost(link, reason, self.now)
        return link

    def take_wanted(self) -> list[Link]:
        wanted = list(self.engine.wanted)
        self.engine.wanted.clear()
        return wanted

    def take_unwanted(self) -> list[Link]:
        unwanted = list(self.engine.unwanted)
        self.engine.unwanted.clear()
        return unwanted

    def sent(self, link: Link | None = None) -> list[tuple[int, list[bytes]]]:
        """Everything that goes to a server now, as (type, arguments)."""
        link = link or self.links[0]
        data = b""
        while chunk := self.engine.outgoing(link, self.now):
            data += chunk
        return [
            (type, arguments(type, body) if type != p.TEXT else [body])
            for type, body in Parser(p.REQUEST).feed(data)
        ]

    def reply(self, type: int, *words: bytes, link: Link | None = None) -> None:
        self.receive(response(type, b"\0".join(words)), link)

    def receive(self, data: bytes, link: Link | None = None) -> None:
        self.engine.received(link or self.links[0], data, self.now)

    def lose(self, link: Link | None = None, reason: str = "gone") -> None:
        self.engine.lost(link or self.links[0], reason, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)


class Log(list[tuple[Any, ...]]):
    """A task's callbacks, as (name, arguments after the task); `keywords` go to the task."""

    def __init__(self) -> None:
        super().__init__()
        self.keywords = {
            f"on_{name}": self._entry(name)
            for name in ("created", "data", "status", "warning", "exception", "fail", "retry", "complete")
        }

    def _entry(self, name: str) -> Any:
        return lambda task, *rest: self.append((name, *rest))


def call_back(group: Group) -> None:
    """Do what a task set does: call what is due."""
    while group.calls:
        callback, args = group.calls.popleft()
        callback(*args)
