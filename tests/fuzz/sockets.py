"""Hostile inputs at a job server on real sockets, and what it is like afterwards."""

from __future__ import annotations

import json
import re
import select
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from geartrain.errors import ProtocolError
from geartrain.wire import packets as p
from geartrain.wire.parser import Parser
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import JobServer

from .generator import Generator

CONNECTIONS: Final = 20
CANARY_EVERY: Final = 2000
GROWTH: Final = 20 * 1024 * 1024
"""Bytes that the server's memory may have grown at the end."""
WARM_UP: Final = 5000
"""Inputs after which the memory counts: by then each kind of them has been there, and caches are full."""
OPTIONS: Final = ("--set=limits.jobs=2000", "--set=limits.functions=300", "--set=limits.job_bytes=4MiB")

_HANDLE: Final = re.compile(rb"H:[^\0:]+:\d+")


class Sockets:
    """Some connections to one server that send what the generator makes."""

    def __init__(self, server: JobServer, seed: int) -> None:
        self._server = server
        self._generator = Generator(seed)
        self._connections: list[tuple[socket.socket, Parser]] = []
        self._memory = 0
        self.closed = 0

    def run(self, inputs: int) -> None:
        """Send so many inputs; the memory counts from the time when some were sent."""
        for number in range(inputs):
            self._send(self._generator.input())
            if number % CANARY_EVERY == 0:
                self._check_canary()
            if number == min(WARM_UP, inputs // 2):
                self._clear()
                self._memory = self._resident()
        self._check_canary()

    def _send(self, data: bytes) -> None:
        generator = self._generator
        if len(self._connections) < CONNECTIONS:
            connection = socket.create_connection((self._server.host, self._server.port), 10)
            connection.setblocking(False)
            self._connections.append((connection, Parser(p.REQUEST)))
        at = generator.below(len(self._connections))
        connection, parser = self._connections[at]
        keep = not generator.chance(0.02)
        try:
            parser.feed(data)
        except ProtocolError:
            keep = False
        # An unfinished packet swallows the inputs that follow, which tries nothing more.
        keep = keep and (parser.idle or generator.chance(0.5))
        try:
            for chunk in generator.chunks(data):
                # What does not fit is left away: that is one more way to break off.
                keep = (not chunk or connection.send(chunk) == len(chunk)) and keep
            answer = connection.recv(65536)
            keep = keep and bool(answer)
            generator.handles = [*_HANDLE.findall(answer), *generator.handles][:50]
        except BlockingIOError:
            pass
        except OSError:
            keep = False
        if not keep:
            self.closed += 1
            self._connections.pop(at)[0].close()

    def _check_canary(self) -> None:
        """A client and a worker that behave still get their job done."""
        with self._server.connect() as client, self._server.connect() as worker:
            self._make_room(client)
            worker.can_do("canary")
            client.submit("canary", "tweet")
            worker.complete(worker.grab().handle, "done")
            client.expect(Packet.WORK_COMPLETE, ..., "done")

    @staticmethod
    def _make_room(admin: RawPeer) -> None:
        admin.send_text("show jobs")
        handles = [line.split(b"\t")[0] for line in admin.recv_lines()]
        if len(handles) > 1000:
            for handle in handles:
                admin.send_text(b"cancel job " + handle)
                admin.recv_line()

    def _clear(self) -> None:
        """Close every connection, and cancel every job."""
        for connection, _ in self._connections:
            # What the server has not read yet is answered first.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        for connection, _ in self._connections:
            with suppress(OSError):
                while select.select([connection], [], [], 5)[0] and connection.recv(1 << 20):
                    pass
            connection.close()
        self._connections = []
        with self._server.connect() as admin:
            wait_until(lambda: self.report(admin)["connections"] == 1, "no hostile connection is left", 30)
            admin.send_text("show jobs")
            for line in admin.recv_lines():
                admin.send_text(b"cancel job " + line.split(b"\t")[0])
                admin.recv_line()

    @staticmethod
    def report(peer: RawPeer) -> dict[str, object]:
        """What the server says of itself."""
        peer.submit("geartrain.report")
        found: dict[str, object] = json.loads(peer.expect(Packet.WORK_COMPLETE)[1])
        return found

    def _resident(self) -> int:
        pages = int(Path(f"/proc/{self._server.process.pid}/statm").read_text().split()[1])
        return pages * 4096

    def finish(self) -> str:
        """Nothing may be left: no connection, no memory, no traceback. Returns what there was."""
        self._check_canary()
        self._clear()
        grown = self._resident() - self._memory
        assert grown < GROWTH, f"the server's memory grew by {grown / 1e6:.1f} MB"
        log = self._server.process.output
        for sign in ("Traceback", '"exception"', "Fatal error", '"level": "error"', '"level": "critical"'):
            at = log.find(sign)
            assert at < 0, log[max(0, at - 2000) : at + 4000]
        return f"{self.closed} connections closed, memory grew by {grown / 1e6:.1f} MB"
