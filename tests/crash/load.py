"""Submitters and workers that remember what they were told, and survive the server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from typing import Final

from tests.harness.rawwire import Packet, encode

FUNCTION: Final = b"crash"
WINDOW: Final = 32
"""Submissions that one submitter leaves unacknowledged at most."""


class Connection:
    """A blocking connection that yields complete packets and ends quietly when the server does."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> list[tuple[int, bytes]]:
        """The next packets; ConnectionError when the server is gone."""
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server is gone")
        data = self._rest + data
        packets: list[tuple[int, bytes]] = []
        start = 0
        while len(data) - start >= 12:
            end = start + 12 + int.from_bytes(data[start + 8 : start + 12], "big")
            if end > len(data):
                break
            packets.append((int.from_bytes(data[start + 4 : start + 8], "big"), data[start + 12 : end]))
            start = end
        self._rest = data[start:]
        return packets

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Peer(threading.Thread):
    """Something that uses one connection until it breaks or is told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.connection = Connection(port)
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with contextlib.suppress(OSError):
                self.use()
        except BaseException as error:
            self.error = error

    def use(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Break the connection and wait for the thread; raises what went wrong in it."""
        self.connection.close()
        self.join(10)
        assert not self.is_alive(), "a peer did not end"
        if self.error is not None:
            raise self.error


class Submitter(Peer):
    """Submits background jobs with workloads that nobody else uses, as fast as they are acknowledged."""

    def __init__(self, port: int, name: str, with_unique: bool) -> None:
        super().__init__(port)
        self._name = name
        self._with_unique = with_unique
        self.submitted: set[bytes] = set()
        self.acknowledged: list[bytes] = []
        self.refused = 0

    def use(self) -> None:
        outstanding: deque[bytes] = deque()
        number = 0
        while True:
            packets = b""
            while len(outstanding) < WINDOW:
                workload = f"{self._name}-{number}".encode()
                number += 1
                outstanding.append(workload)
                self.submitted.add(workload)
                unique = workload if self._with_unique else b""
                packets += encode(Packet.SUBMIT_JOB_BG, FUNCTION, unique, workload)
            self.connection.send(packets)
            for type, body in self.connection.receive():
                workload = outstanding.popleft()
                if type == Packet.JOB_CREATED:
                    self.acknowledged.append(workload)
                elif type == Packet.ERROR:
                    self.refused += 1
                else:
                    raise AssertionError(f"unexpected packet {type} {body!r}")


class Worker(Peer):
    """Completes every job and remembers when."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.executed: list[tuple[bytes, float]] = []

    def use(self) -> None:
        connection = self.connection
        grab = encode(Packet.GRAB_JOB)
        connection.send(encode(Packet.CAN_DO, FUNCTION) + grab)
        while True:
            answers: list[bytes] = []
            for type, body in connection.receive():
                if type == Packet.JOB_ASSIGN:
                    handle, _, workload = body.split(b"\0", 2)
                    self.executed.append((workload, time.monotonic()))
                    answers.append(encode(Packet.WORK_COMPLETE, handle, b"") + grab)
                elif type == Packet.NO_JOB:
                    answers.append(encode(Packet.PRE_SLEEP))
                elif type == Packet.NOOP:
                    answers.append(grab)
                else:
                    raise AssertionError(f"unexpected packet {type} {body!r}")
            connection.send(b"".join(answers))
