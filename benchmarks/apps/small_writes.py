"""A client and a worker that write each packet, or each part of one, by itself, with Nagle's algorithm on.

Libraries of Ruby, PHP and older ones of Java and Node.js do so. Where the server does not acknowledge such a
write by itself, the next one waits for the kernel's delayed acknowledgement, 40 ms on Linux.

    python -m benchmarks.apps.small_writes worker|client PORT [COUNT]
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Final

HEAD: Final = 12
CAN_DO, PRE_SLEEP, NOOP, SUBMIT_JOB, JOB_CREATED, GRAB_JOB, NO_JOB, JOB_ASSIGN, WORK_COMPLETE = (
    1, 4, 6, 7, 8, 9, 10, 11, 13,
)  # fmt: skip


class Peer:
    """One connection with Nagle's algorithm on."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)

    def write(self, type: int, *arguments: bytes) -> None:
        body = b"\0".join(arguments)
        self._socket.sendall(b"\0REQ" + struct.pack(">II", type, len(body)))
        if body:
            self._socket.sendall(body)

    def read(self) -> tuple[int, bytes]:
        type, size = struct.unpack(">4xII", self._receive(HEAD))
        return type, self._receive(size)

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            some = self._socket.recv(size - len(data))
            if not some:
                raise ConnectionError("the server has closed the connection")
            data += some
        return data


def work(port: int) -> None:
    peer = Peer(port)
    peer.write(CAN_DO, b"noop")
    while True:
        peer.write(GRAB_JOB)
        type, body = peer.read()
        while type == NOOP:
            type, body = peer.read()
        if type == JOB_ASSIGN:
            peer.write(WORK_COMPLETE, body.partition(b"\0")[0], b"done")
        else:
            peer.write(PRE_SLEEP)
            peer.read()


def submit(peer: Peer, count: int) -> None:
    for _ in range(count):
        peer.write(SUBMIT_JOB, b"noop", b"", b"workload")
        while peer.read()[0] != WORK_COMPLETE:
            pass


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        work(int(sys.argv[2]))
    else:
        from .clock import timed

        del sys.argv[1]
        client = Peer(int(sys.argv[1]))
        timed(lambda count: submit(client, count))
