"""A client that waits for many jobs is told of several ends together, but of none late or out of order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from geartrain.broker import Broker
from geartrain.server import Server, ServerOptions
from geartrain.server.connection import Connection
from geartrain.server.writer import Writer
from tests.harness.rawwire import RES, Packet, encode
from tests.harness.servers import geartrain

MANY = 20


class Transport:
    """Keeps what is written."""

    family = socket.AF_UNIX

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, items: list[bytes]) -> None:
        self.written.append(b"".join(items))

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return self  # as if it encrypted, so that all goes through `write`

    def fileno(self) -> int:
        return 0


class Stage:
    """A server that does not listen, whose moments end when the test says so."""

    def __init__(self) -> None:
        self._later: list[Callable[[], None]] = []
        self._server = Server(ServerOptions(journal="memory"))
        self._server.broker = Broker("host", 1)
        self._server.writer = Writer(self._server.broker, lambda _, act: self._later.append(act))

    def connect(self) -> tuple[Transport, Callable[[bytes], None]]:
        transport = Transport()
        connection = Connection(self._server, "127.0.0.1")
        connection.connection_made(cast(asyncio.Transport, transport))
        return transport, connection.data_received

    def pass_a_moment(self) -> None:
        later, self._later = self._later, []
        for act in later:
            act()


def test_the_ends_of_many_jobs_are_written_together_and_those_of_few_at_once() -> None:
    stage = Stage()
    client, send = stage.connect()
    worker, work = stage.connect()
    for _ in range(MANY):
        send(encode(Packet.SUBMIT_JOB, "f", "", ""))
    work(encode(Packet.CAN_DO, "f"))
    client.written.clear()
    for _ in range(MANY):
        work(encode(Packet.GRAB_JOB))
        handle = worker.written[-1][12:].partition(b"\0")[0]
        work(encode(Packet.WORK_COMPLETE, handle, "done"))
    # Those while four or more were left, with the next one; then each by itself.
    assert [data.count(b"done") for data in client.written] == [17, 1, 1, 1]
    stage.pass_a_moment()
    assert sum([data.count(b"done") for data in client.written]) == MANY


def test_an_option_that_comes_alone_is_answered_in_a_moment() -> None:
    """libgearman's client of several servers hangs if the first is quicker than it looks, see `Writer`."""
    stage = Stage()
    option = encode(Packet.OPTION_REQ, "exceptions")
    alone, send = stage.connect()
    send(option)
    assert alone.written == []
    stage.pass_a_moment()
    assert alone.written == [encode(Packet.OPTION_RES, "exceptions", magic=RES)]
    together, send = stage.connect()
    send(option + encode(Packet.ECHO_REQ, "x"))
    assert len(together.written) == 1


def test_the_end_of_one_job_of_many_does_not_wait_for_the_end_of_the_others() -> None:
    with geartrain() as server, server.connect() as client, server.connect() as worker:
        handles = [client.submit("f") for _ in range(MANY)]
        worker.can_do("f")
        for handle in handles:
            worker.complete(worker.grab().handle, b"done")
            client.expect(Packet.WORK_COMPLETE, handle, b"done")


def test_what_the_client_asks_is_answered_behind_the_ends_that_came_before() -> None:
    with geartrain() as server, server.connect() as client, server.connect() as worker:
        handles = [client.submit("f") for _ in range(MANY)]
        worker.can_do("f")
        for _ in range(5):
            worker.complete(worker.grab().handle, b"done")
        client.send(Packet.ECHO_REQ, b"behind")
        for handle in handles[:5]:
            client.expect(Packet.WORK_COMPLETE, handle, b"done")
        client.expect(Packet.ECHO_RES, b"behind")


def test_a_server_that_shuts_down_tells_of_every_end_first() -> None:
    with geartrain() as server, server.connect() as client, server.connect() as worker:
        handles = [client.submit("f") for _ in range(MANY)]
        worker.can_do("f")
        jobs = [worker.grab() for _ in range(5)]
        for job in jobs[:-1]:
            worker.send(Packet.WORK_COMPLETE, job.handle, b"done")
        worker.send(Packet.WORK_COMPLETE, jobs[-1].handle, b"done")
        worker.send_text("shutdown")
        for handle in handles[:5]:
            client.expect(Packet.WORK_COMPLETE, handle, b"done")
        assert server.process.wait() == 0
