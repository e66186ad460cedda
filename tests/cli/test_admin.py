"""geartrain admin, and the same in the Python API, against our server and gearmand."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from geartrain import Admin, JobLine, PriorityStatus, ServerError
from tests.harness.rawwire import Packet
from tests.harness.servers import SERVERS, JobServer

from .command import run


@pytest.fixture(scope="module", params=["geartrain", "gearmand-c"])
def server(request: pytest.FixtureRequest) -> Iterator[JobServer]:
    """Our job server, and the one that the words were made for."""
    with SERVERS[request.param]() as server:
        yield server


def test_the_queues_are_looked_into_and_changed(server: JobServer) -> None:
    with server.connect() as client, server.connect() as worker, Admin(server.address) as admin:
        low = client.submit("resize", unique="u", type=Packet.SUBMIT_JOB_LOW_BG).decode()
        high = client.submit("resize", type=Packet.SUBMIT_JOB_HIGH).decode()
        assert PriorityStatus("resize", high=1, normal=0, low=1, workers=0) in admin.priority_status()
        assert run("admin", "priorities", server=server) == (0, "resize\t1\t0\t1\t0\n", "")
        assert set(admin.jobs()) == {
            JobLine(low, returns=0, cancelled=False, background=True),
            JobLine(high, returns=0, cancelled=False, background=False),
        }
        lines = run("admin", "jobs", server=server).out.splitlines()
        assert sorted(lines) == sorted([f"{low}\t0\tno\tyes", f"{high}\t0\tno\tno"])
        rows = json.loads(run("admin", "jobs", "--json", server=server).out)
        assert {row["handle"] for row in rows} == {low, high}
        assert sorted(admin.unique_jobs()) == ["", "u"]
        assert run("admin", "uniques", server=server) == (0, "u\n", "")
        assert run("admin", "max-queue", "resize", "2", server=server).code == 0
        client.send(Packet.SUBMIT_JOB, "resize", "", "")
        client.expect_error("QUEUE_ERROR")
        assert run("admin", "max-queue", "resize", "0", "0", "0", server=server).code == 0
        assert run("admin", "cancel", high, server=server) == (0, "", "")
        client.expect(Packet.WORK_FAIL, high)
        worker.can_do("resize")
        assert worker.grab().handle == low.encode()
        with pytest.raises(ServerError, match="connected workers"):
            admin.drop_function("resize")
        worker.complete(low.encode())


def test_functions_are_created_and_dropped(server: JobServer) -> None:
    with Admin(server.address) as admin:
        assert run("admin", "create-function", "waiting-for-a-worker", server=server).code == 0
        assert "waiting-for-a-worker" in [row.function for row in admin.status()]
        assert run("admin", "drop-function", "waiting-for-a-worker", "--yes", server=server).code == 0
        assert "waiting-for-a-worker" not in [row.function for row in admin.status()]
        admin.create_function("another")
        assert run("admin", "drop-function", "another", server=server, stdin="n\n").code == 1
        admin.drop_function("another")


def test_what_is_refused_is_told_with_the_servers_words(server: JobServer) -> None:
    refused = run("admin", "cancel", "H:nowhere:1", server=server)
    assert (refused.code, refused.out) == (4, "")
    assert "UNKNOWN_JOB: no job has the handle H:nowhere:1" in refused.err
    assert "function not found" in run("admin", "drop-function", "nothing", "-y", server=server).err
    assert run("admin", "max-queue", "f", "1", "2", server=server).code == 2


def test_the_server_is_asked_about_itself(server: JobServer) -> None:
    assert run("admin", "pid", server=server) == (0, f"{server.process.pid}\n", "")
    with Admin(server.address) as admin:
        assert run("admin", "version", server=server).out.strip() == admin.version()
        assert run("admin", "verbose", server=server).out.strip() == admin.verbosity()


def test_what_is_logged_changes_while_the_server_runs() -> None:
    with SERVERS["geartrain"]() as server:
        assert run("admin", "verbose", server=server).out == "INFO\n"
        assert run("admin", "verbose", "debug", server=server).out == "DEBUG\n"
        with server.connect() as peer:
            peer.sync()
        server.process.wait_for_output('"event": "disconnected"')
        refused = run("admin", "verbose", "loud", server=server)
        assert refused.code == 4
        assert "the levels are DEBUG, INFO" in refused.err


def test_shutdown_stops_the_server() -> None:
    with SERVERS["geartrain"]() as server:
        assert run("admin", "shutdown", "--graceful", server=server) == (0, "", "")
        assert server.process.wait() == 0
