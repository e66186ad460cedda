"""gearadmin, the C server's own administration tool, asks our server the same as that one."""

from __future__ import annotations

import subprocess

import pytest

from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, require

from .capabilities import Server
from .stage import Stage


@pytest.fixture(params=[Server.GEARTRAIN, Server.C], ids=lambda kind: kind.value)
def server(request: pytest.FixtureRequest, stage: Stage) -> JobServer:
    """Our server, and the one that the tool was made for, which shows that the expectations are right."""
    return stage.server(request.param)


def gearadmin(server: JobServer, option: str) -> list[str]:
    """The lines that the tool prints."""
    require("gearadmin", "gearadmin is missing: apt-get install gearman-tools")
    told = subprocess.run(
        ["gearadmin", "--host", server.host, "--port", str(server.port), option],
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    return told.stdout.splitlines()


def test_status_counts_jobs_and_workers(server: JobServer) -> None:
    function = "gearadmin-status"
    with server.connect() as worker, server.connect() as client:
        client.submit(function, type=Packet.SUBMIT_JOB_BG)
        client.submit(function, type=Packet.SUBMIT_JOB_HIGH)
        worker.can_do(function)
        running = worker.grab()
        lines = gearadmin(server, "--status")
        assert f"{function}\t2\t1\t1" in lines
        assert lines[-1] == "."
        worker.complete(running.handle)
        worker.complete(worker.grab().handle)
        assert f"{function}\t0\t0\t1" in gearadmin(server, "--status")


def test_workers_are_listed_with_their_functions(server: JobServer) -> None:
    with server.connect() as worker:
        worker.send(Packet.SET_CLIENT_ID, "gearadmin-worker")
        worker.can_do("gearadmin-one", "gearadmin-two")
        lines = gearadmin(server, "--workers")
        (line,) = [line for line in lines if "gearadmin-worker" in line]
        descriptor, address, name, colon, *functions = line.split(" ")
        assert descriptor.isdigit()
        assert (address, name, colon) == ("127.0.0.1", "gearadmin-worker", ":")
        assert functions == ["gearadmin-two", "gearadmin-one"]
        assert lines[-1] == "."


def test_the_server_version_is_told(server: JobServer) -> None:
    (version,) = gearadmin(server, "--server-version")
    with server.connect() as asker:
        asker.send_text("version")
        assert asker.recv_line().decode().split() == ["OK", version]


def test_the_process_id_is_told(server: JobServer) -> None:
    assert gearadmin(server, "--getpid") == [str(server.process.pid)]
