"""What monitoring plugins ask and how they read the answer: check_gearman once, gearman_top again and again.

They are written in C and cut what they are told with `strtok` and `atoi`; so does this.
"""

from __future__ import annotations

import socket
from typing import NamedTuple

import pytest

from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer

from .capabilities import Server
from .stage import Stage


@pytest.fixture(params=[Server.GEARTRAIN, Server.C], ids=lambda kind: kind.value)
def server(request: pytest.FixtureRequest, stage: Stage) -> JobServer:
    """Our server, and the one that the plugins were made for."""
    return stage.server(request.param)


class Queue(NamedTuple):
    """A line of gearman_top, and what check_gearman compares with its thresholds."""

    name: str
    workers: int
    waiting: int
    running: int


def poll(server: JobServer) -> tuple[str, dict[str, Queue]]:
    """Both questions in one write, on a connection of its own, read until the dot as the plugins do."""
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.settimeout(10)
        connection.sendall(b"version\nstatus\n")
        told = b""
        while not told.endswith(b"\n.\n") and told.count(b"\n") < 10_000:
            told += connection.recv(2048)
    version, queues = "", {}
    for line in told.decode().split("\n"):
        if line == ".":
            break
        if line.startswith("OK "):
            version = line[3:].strip()
            continue
        name, total, running, workers = line.rsplit("\t", 3)
        queues[name] = Queue(name, int(workers), int(total) - int(running), int(running))
    return version, queues


def test_check_gearman_finds_queues_without_workers_and_those_that_grow(server: JobServer) -> None:
    with server.connect() as client, server.connect() as worker:
        for _ in range(3):
            client.submit("checked-alone", type=Packet.SUBMIT_JOB_BG)
            client.submit("checked", type=Packet.SUBMIT_JOB)
        worker.can_do("checked")
        worker.grab()
        version, queues = poll(server)
        assert version
        assert queues["checked-alone"] == Queue("checked-alone", workers=0, waiting=3, running=0)
        assert queues["checked"] == Queue("checked", workers=1, waiting=2, running=1)


def test_gearman_top_sees_the_same_server_change_from_poll_to_poll(server: JobServer) -> None:
    with server.connect() as client, server.connect() as worker:
        seen = []
        worker.can_do("topped")
        for _ in range(3):
            handle = client.submit("topped")
            seen.append(poll(server)[1]["topped"])
            assert worker.grab().handle == handle
            seen.append(poll(server)[1]["topped"])
            worker.complete(handle)
            client.expect(Packet.WORK_COMPLETE, handle, ...)
            seen.append(poll(server)[1]["topped"])
        assert [(queue.waiting, queue.running) for queue in seen] == [(1, 0), (0, 1), (0, 0)] * 3
