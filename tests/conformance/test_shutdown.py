"""The end of a job server, on command: at once, or gracefully when its jobs have ended."""

from __future__ import annotations

import pytest

from tests.harness.processes import accepts, wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer


@pytest.mark.parametrize("line", ["shutdown", "SHUTDOWN"])
def test_shutdown_ends_the_server_with_jobs_in_its_queue(own_server: JobServer, line: str) -> None:
    with own_server.connect() as client, own_server.connect() as other:
        client.submit("function")
        other.sync()
        client.send_text(line)
        assert client.recv_line().rstrip() == b"OK"
        other.expect_closed()
        client.expect_closed()
    assert own_server.process.wait() == 0


def test_a_graceful_shutdown_ends_an_idle_server(own_server: JobServer) -> None:
    with own_server.connect() as client:
        client.send_text("shutdown graceful")
        assert client.recv_line().rstrip() == b"OK"
        client.expect_closed()
    assert own_server.process.wait() == 0


def test_a_graceful_shutdown_lets_the_last_job_end(own_server: JobServer) -> None:
    with own_server.connect() as client, own_server.connect() as worker:
        running, queued = client.submit("function", 1), client.submit("function", 2)
        worker.can_do("function")
        worker.grab()
        client.send_text("shutdown graceful")
        assert client.recv_line().rstrip() == b"OK"
        wait_until(lambda: not accepts(own_server.host, own_server.port), "the server accepts no connections")
        worker.send(Packet.WORK_COMPLETE, running, b"one")
        client.expect(Packet.WORK_COMPLETE, running, b"one")
        assert worker.grab().handle == queued
        worker.grab_nothing()
        worker.send(Packet.WORK_COMPLETE, queued, b"two")
        client.expect(Packet.WORK_COMPLETE, queued, b"two")
        client.expect_closed()
        worker.expect_closed()
    assert own_server.process.wait() == 0
