"""Running a server: what it logs, what it says of itself, and how it goes down."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.harness.processes import Process, accepts, free_port, wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, geartrain


def logged(server: JobServer, event: str) -> dict[str, object]:
    """The line of the log with that event; waits for it."""
    server.process.wait_for_output(f'"event": "{event}')
    lines = [json.loads(line) for line in server.process.stderr.splitlines()]
    (found,) = [line for line in lines if line["event"].startswith(event)]
    assert isinstance(found, dict)
    return found


# Draining


def test_sigterm_lets_running_jobs_end_and_takes_no_more() -> None:
    with (
        geartrain() as server,
        server.connect() as client,
        server.connect() as worker,
        server.connect() as idle,
    ):
        running, queued = client.submit("f", "running"), client.submit("f", "queued")
        worker.can_do("f")
        assert worker.grab().handle == running
        server.process.signal(signal.SIGTERM)
        idle.expect_closed()
        wait_until(lambda: not accepts(server.host, server.port), "nobody is accepted any more")
        client.send(Packet.SUBMIT_JOB, "f", "", "late")
        client.expect(Packet.ERROR, "SHUTDOWN", "The job server is shutting down")
        worker.grab_nothing()
        worker.send(Packet.WORK_COMPLETE, running, "done")
        client.expect(Packet.WORK_COMPLETE, running, "done")
        client.expect_closed()
        assert server.process.wait() == 0
        assert logged(server, "waiting for jobs to end")["running"] == 1
        assert queued != running


def test_a_drain_still_tells_how_the_jobs_end_that_it_waits_for() -> None:
    with (
        geartrain("--keep-results=1m") as server,
        server.connect() as early,
        server.connect() as worker,
    ):
        running = worker.submit("f", "", type=Packet.SUBMIT_JOB_BG)
        worker.can_do("f")
        worker.grab()
        first = early.submit("geartrain.result", running)
        server.process.signal(signal.SIGTERM)
        server.process.wait_for_output("waiting for jobs to end")
        second = worker.submit("geartrain.result", running)
        worker.send(Packet.WORK_COMPLETE, running, "done")
        early.expect(Packet.WORK_COMPLETE, first, "done")
        worker.expect(Packet.WORK_COMPLETE, second, "done")
        early.expect_closed()
        assert server.process.wait() == 0


def test_a_drain_ends_when_its_time_is_over() -> None:
    with geartrain("--set=timeouts.shutdown=1s") as server, server.connect() as worker:
        worker.can_do("f")
        worker.submit("f", type=Packet.SUBMIT_JOB_BG)
        worker.grab()
        server.process.signal(signal.SIGTERM)
        worker.expect_closed()
        assert server.process.wait() == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with geartrain() as server, server.connect() as worker:
        worker.can_do("f")
        worker.submit("f", type=Packet.SUBMIT_JOB_BG)
        worker.grab()
        server.process.signal(signal.SIGTERM)
        server.process.wait_for_output("waiting for jobs to end")
        server.process.signal(signal.SIGINT)
        worker.expect_closed()
        assert server.process.wait() == 0


def test_a_graceful_shutdown_refuses_new_jobs_and_hands_out_the_old_ones() -> None:
    with geartrain() as server, server.connect() as client, server.connect() as worker:
        handles = [client.submit("f") for _ in range(3)]
        worker.send_text("shutdown graceful")
        assert worker.recv_line() == b"OK\r\n"
        client.send(Packet.SUBMIT_JOB, "f", "", "late")
        client.expect_error("SHUTDOWN")
        worker.can_do("f")
        for handle in handles:
            assert worker.grab().handle == handle
            worker.send(Packet.WORK_COMPLETE, handle, "done")
            client.expect(Packet.WORK_COMPLETE, handle, "done")
        client.expect_closed()
        assert server.process.wait() == 0


def test_jobs_that_a_drain_left_are_there_at_the_next_start(tmp_path: Path) -> None:
    journal = f"--journal=sqlite:{tmp_path}/journal.db"
    with geartrain(journal) as server, server.connect() as client, server.connect() as worker:
        for workload in ("running", "queued"):
            client.submit("f", workload, type=Packet.SUBMIT_JOB_BG)
        worker.can_do("f")
        job = worker.grab()
        server.process.signal(signal.SIGTERM)
        server.process.wait_for_output("waiting for jobs to end")
        worker.send(Packet.WORK_COMPLETE, job.handle, "done")
        assert server.process.wait() == 0
    with geartrain(journal) as server, server.connect() as worker:
        worker.can_do("f")
        assert worker.grab().workload == b"queued"
        worker.grab_nothing()


# What it says


def test_sigusr1_logs_what_the_server_holds() -> None:
    with geartrain() as server, server.connect() as client:
        client.send(Packet.SET_CLIENT_ID, "the-client")
        client.submit("f", b"x" * 1000)
        server.process.signal(signal.SIGUSR1)
        state = logged(server, "state")
        assert (state["jobs"], state["connections"], state["job_bytes"]) == (1, 1, 1512)
        functions, connections = state["by_function"], state["by_connection"]
        assert isinstance(functions, list)
        assert isinstance(connections, list)
        assert functions[0]["function"] == "f"
        assert connections[0]["id"] == "the-client"
        client.sync()


def test_what_becomes_of_a_job_is_logged_with_its_handle_function_and_worker() -> None:
    with geartrain("--job-retries=2") as server, server.connect() as client:
        handle = client.submit("f", type=Packet.SUBMIT_JOB_BG).decode()
        for expected in ("a job was given back", "a job used up its attempts"):
            with server.connect() as worker:
                worker.can_do("f")
                worker.grab()
            server.process.wait_for_output(f"{expected}: worker lost")
        lines = [json.loads(line) for line in server.process.stderr.splitlines() if '"a job ' in line]
        assert [line["handle"] for line in lines] == [handle] * 3
        assert {line["function"] for line in lines} == {"f"}
        assert lines[0]["worker"] == "127.0.0.1"
        cancelled = client.submit("f").decode()
        client.send_text(f"cancel job {cancelled}")
        assert logged(server, "a job was cancelled")["handle"] == cancelled


def test_at_debug_every_packet_is_logged_with_its_peer_function_and_handle_but_not_what_jobs_carry() -> None:
    with geartrain() as server, server.connect() as client, server.connect() as worker:
        client.submit("quiet")
        client.send_text("verbose DEBUG")
        assert client.recv_line().rstrip() == b"OK DEBUG"
        handle = client.submit("f", b"a secret").decode()
        client.send(Packet.OPTION_REQ, "a token")
        worker.can_do("f")
        worker.complete(worker.grab().handle, b"another secret")
        client.send_text("verbose INFO")
        server.process.wait_for_output('"packet": "WORK_COMPLETE"')
        wait_until(lambda: '"least": "info"' in server.process.stderr, "the log is quiet again")
        with server.connect() as late:
            late.submit("quiet")
        log = server.process.stderr
        lines = [json.loads(line) for line in log.splitlines() if '"packet": ' in line]
        seen = [(line["event"], line["packet"], line.get("function"), line.get("handle")) for line in lines]
        for expected in (
            ("received", "SUBMIT_JOB", "f", None),
            ("sent", "JOB_CREATED", None, handle),
            ("sent", "JOB_ASSIGN", "f", handle),
            ("received", "WORK_COMPLETE", None, handle),
            ("sent", "WORK_COMPLETE", None, handle),
        ):
            assert expected in seen
        assert all(line["peer"] == "127.0.0.1" for line in lines)
        assert not any(word in log for word in ("secret", "token", "quiet"))


def test_a_signal_that_comes_as_soon_as_it_listens_ends_it_properly() -> None:
    port = free_port()
    command = (sys.executable, "-m", "geartrain", "serve", "--port", str(port), "--journal", "memory")
    for _ in range(3):
        with Process(*command) as server:
            server.wait_until(lambda: accepts("127.0.0.1", port), "it listens")
            server.signal(signal.SIGTERM)
            assert server.wait() == 0


REPLAYING = """
import os, sys
from geartrain.cli.logs import configure_logs
from geartrain.server import Server, ServerOptions
from geartrain.server.process import serve

replay = Server._replay

async def replay_with_signals(self):
    for number in sys.argv[2:]:
        os.kill(os.getpid(), int(number))
    await replay(self)
    if int(sys.argv[-1]) == 15:
        import asyncio
        await asyncio.sleep(60)

Server._replay = replay_with_signals
configure_logs()
serve(ServerOptions(port=int(sys.argv[1]), journal="memory"))
"""


def test_signals_while_it_replays_its_journal_are_heeded_once_it_listens() -> None:
    port = free_port()
    numbers = (str(int(signal.SIGHUP)), str(int(signal.SIGUSR1)))
    with Process(sys.executable, "-c", REPLAYING, str(port), *numbers) as server:
        server.wait_until(lambda: accepts("127.0.0.1", port), "it listens")
        server.wait_for_output("certificates and access were read again")
        server.wait_for_output('"event": "state"')
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_a_long_replay_ends_at_sigterm() -> None:
    with Process(sys.executable, "-c", REPLAYING, str(free_port()), str(int(signal.SIGTERM))) as server:
        assert server.wait() == 0
        assert "ended by a signal before it listened" in server.stderr


def test_complaints_about_peers_do_not_fill_the_log() -> None:
    with geartrain() as server:
        for _ in range(100):
            with server.connect() as peer:
                peer.send_bytes(b"\0garbage")
                peer.recv_rest()
        refused = server.process.output.count("connection refused")
        # Ten in a second.
        assert 10 <= refused < 100
        with server.connect() as peer:
            peer.sync()


@pytest.mark.parametrize("option", ["--log-file={}/log", "--set=log.file={}/log"])
def test_the_log_goes_on_in_a_new_file_when_the_old_one_was_moved_away(tmp_path: Path, option: str) -> None:
    path = tmp_path / "log"
    with geartrain(option.format(tmp_path)) as server, server.connect() as peer:
        wait_until(lambda: "the job server listens" in path.read_text(), "it logs")
        path.rename(tmp_path / "log.1")
        server.process.signal(signal.SIGUSR1)
        wait_until(lambda: path.exists() and '"state"' in path.read_text(), "there is another file")
        peer.sync()
        assert server.process.output == ""
