"""The hot path without an event loop: a fixed number of jobs through connections whose peers are right here.

    python -m benchmarks.core MODE JOBS

It does the same work in every run, so that its instructions can be counted (`guard.py`) and profiled.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections.abc import Callable
from typing import Any, cast

from geartrain.broker import Broker
from geartrain.server import Server, ServerOptions
from geartrain.server.connection import Connection
from geartrain.server.writer import Writer

from .generator import CAN_DO, COMPLETE, GRAB, PRE_SLEEP, SUBMIT_JOB, SUBMIT_JOB_BG, request

WINDOW = 16
MOST = 65536
"""Bytes that one write may have here."""
SUBMISSION = b"bench\0\0" + b"x" * 100


class Line:
    """A transport and its socket, from which what the server writes is read outside of what is counted."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)
        self._theirs.setblocking(False)

    def last(self) -> bytes:
        """What the server wrote last; takes all there is."""
        last = b""
        while select.select([self._theirs], [], [], 0)[0]:
            last = self._theirs.recv(MOST)
        return last

    def write(self, data: bytes) -> None:
        raise RuntimeError("the socket did not take it")

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return self._ours if name == "socket" else None

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Stage:
    """A server that does not listen, and connections to it."""

    def __init__(self) -> None:
        self.server = Server(ServerOptions(journal="memory"))
        self.server.broker = Broker("host", 1_790_000_000_000_000)
        self.server.writer = Writer(self.server.broker)

    def connect(self) -> tuple[Line, Callable[[bytes], None]]:
        transport = Line()
        connection = Connection(self.server, "127.0.0.1")
        connection.connection_made(cast(asyncio.Transport, transport))
        return transport, connection.data_received


def submit(jobs: int) -> None:
    """Background submissions, many in a chunk; no worker."""
    answers, client = Stage().connect()
    chunk = request(SUBMIT_JOB_BG, SUBMISSION) * WINDOW
    for _ in range(jobs // WINDOW):
        client(chunk)
        answers.last()


def drain(jobs: int) -> None:
    """Background jobs that are queued first and then worked one after the other."""
    stage = Stage()
    answers, client = stage.connect()
    chunk = request(SUBMIT_JOB_BG, SUBMISSION) * WINDOW
    for _ in range(jobs // WINDOW):
        client(chunk)
        answers.last()
    out, worker = stage.connect()
    worker(request(CAN_DO, b"bench") + GRAB)
    for _ in range(jobs):
        worker(complete(out.last()))


def many(jobs: int) -> None:
    """Foreground jobs that are never few enough for a worker to sleep."""
    stage = Stage()
    answers, client = stage.connect()
    workers = [stage.connect() for _ in range(4)]
    client(request(SUBMIT_JOB, SUBMISSION) * WINDOW)
    for _, worker in workers:
        worker(request(CAN_DO, b"bench") + GRAB)
    chunk = request(SUBMIT_JOB, SUBMISSION) * len(workers)
    for _ in range(jobs // len(workers)):
        for out, worker in workers:
            worker(complete(out.last()))
        client(chunk)
        answers.last()


def pingpong(jobs: int) -> None:
    """Foreground jobs one at a time: the worker sleeps before each."""
    stage = Stage()
    answers, client = stage.connect()
    out, worker = stage.connect()
    worker(request(CAN_DO, b"bench") + GRAB)
    chunk = request(SUBMIT_JOB, SUBMISSION)
    for _ in range(jobs):
        worker(PRE_SLEEP)
        client(chunk)
        worker(GRAB)
        worker(complete(out.last()))
        answers.last()


def complete(assigned: bytes) -> bytes:
    """What a worker sends for a JOB_ASSIGN_UNIQ: the result, and a grab for the next job."""
    handle = assigned[12 : assigned.index(b"\0", 12)]
    return COMPLETE + (len(handle) + 2).to_bytes(4, "big") + handle + b"\0x" + GRAB


MODES = {"submit": submit, "drain": drain, "many": many, "pingpong": pingpong}

if __name__ == "__main__":
    MODES[sys.argv[1]](int(sys.argv[2]))
