"""gearadmin, the C server's own administration tool, asks our server the same as that one."""

from __future__ import annotations

import subprocess

import pytest

from tests.harness.processes import Process
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, require

from .capabilities import Server
from .stage import Stage


@pytest.fixture(params=[Server.GEARTRAIN, Server.C], ids=lambda kind: kind.value)
def server(request: pytest.FixtureRequest, stage: Stage) -> JobServer:
    """Our server, and the one that the tool was made for, which shows that the expectations are right."""
    return stage.server(request.param)


def gearadmin(server: JobServer, *options: str) -> list[str]:
    """The lines that the tool prints."""
    require("gearadmin", "gearadmin is missing: apt-get install gearman-tools")
    told = subprocess.run(
        ["gearadmin", "--host", server.host, "--port", str(server.port), *options],
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


def test_priorities_are_told(server: JobServer) -> None:
    function = "gearadmin-priorities"
    with server.connect() as client:
        for form in (Packet.SUBMIT_JOB_HIGH, Packet.SUBMIT_JOB, Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_LOW):
            client.submit(function, type=form)
        lines = gearadmin(server, "--priority-status")
        assert f"{function}\t1\t2\t1\t0" in lines
        assert lines[-1] == "."


def test_jobs_and_their_uniques_are_told(server: JobServer) -> None:
    with server.connect() as client:
        handle = client.submit("gearadmin-jobs", unique="gearadmin-unique").decode()
        assert f"{handle}\t0\t0\t0" in gearadmin(server, "--show-jobs")
        assert "gearadmin-unique" in gearadmin(server, "--show-unique-jobs")


def test_a_job_is_cancelled(server: JobServer) -> None:
    with server.connect() as client:
        handle = client.submit("gearadmin-cancel")
        assert gearadmin(server, "--cancel-job", handle.decode()) == ["OK"]
        client.expect(Packet.WORK_FAIL, handle)


def test_functions_are_created_and_dropped(server: JobServer) -> None:
    function = "gearadmin-created"
    assert gearadmin(server, "--create-function", function) == ["OK"]
    assert f"{function}\t0\t0\t0" in gearadmin(server, "--status")
    assert gearadmin(server, "--drop-function", function) == ["OK"]
    assert not any(line.startswith(function) for line in gearadmin(server, "--status"))


def test_how_much_is_logged_is_told(server: JobServer) -> None:
    (level,) = gearadmin(server, "--server-verbose")
    assert level in ("FATAL", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")


def test_its_option_for_tls_is_without_effect_as_debian_builds_it(server: JobServer) -> None:
    """The package has no TLS inside: `--ssl` is taken, and plain text spoken."""
    assert gearadmin(server, "--ssl", "--getpid") == [str(server.process.pid)]


def test_the_tool_as_client_and_worker_takes_its_option_for_tls_in_the_same_way(server: JobServer) -> None:
    """Debian's `gearman -S` speaks plain text, too."""
    require("gearman", "the gearman tool is missing: apt-get install gearman-tools")
    tool = ("gearman", "-S", "-h", server.host, "-p", str(server.port), "-f", "gearadmin-upper")
    with Process(*tool, "-w", "-c", "1", "--", "tr", "a-z", "A-Z") as worker, Process(*tool, "abc") as client:
        assert client.wait() == 0
        assert client.stdout == "ABC"
        assert worker.wait() == 0
