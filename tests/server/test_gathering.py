"""A client that waits for many jobs is told of several ends together, but of none late or out of order."""

from __future__ import annotations

from tests.harness.rawwire import Packet
from tests.harness.servers import geartrain

MANY = 20


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
