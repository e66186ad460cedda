"""geartrain status, workers and ping."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.harness.processes import free_port, wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import JobServer, gearmand_c, geartrain

from .command import Terminal, run, start


def queue(peer: RawPeer, function: str, unique: str = "") -> str:
    peer.send(Packet.SUBMIT_JOB_BG, function, unique, "")
    return peer.expect(Packet.JOB_CREATED)[0].decode()


def test_status_shows_each_function_in_a_pipe_and_as_json(server: JobServer) -> None:
    assert run("status", server=server) == (0, "", "")
    assert run("status", "--json", server=server) == (0, "[]\n", "")
    with server.connect() as peer:
        for function in ("resize", "resize", "mail"):
            queue(peer, function)
        peer.send(Packet.CAN_DO, "resize")
        peer.send(Packet.GRAB_JOB)
        peer.expect(Packet.JOB_ASSIGN)
        assert run("status", server=server) == (0, "resize\t1\t1\t1\nmail\t1\t0\t0\n", "")
        rows = json.loads(run("status", "--json", server=server).out)
        assert rows[0] == {
            "server": server.address,
            "function": "resize",
            "queued": 1,
            "running": 1,
            "workers": 1,
        }


def test_status_is_a_table_on_a_terminal_and_no_name_can_control_it(server: JobServer) -> None:
    with Terminal("status", server=server) as terminal:
        assert terminal.wait() == 0
        assert terminal.text == "No function is known.\n"
    with server.connect() as peer:
        queue(peer, "re\x1b[31msize")
        with Terminal("status", server=server) as terminal:
            assert terminal.wait() == 0
            assert terminal.text.split() == [
                *("Function", "Queued", "Running", "Workers"),
                terminal.text.split()[4],
                *("re\\x1b[31msize", "1", "0", "0"),
            ]
            assert "re\x1b" not in terminal.raw


def test_status_says_that_a_servers_journal_fails(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with geartrain("--journal", f"sqlite:{path}") as server, server.connect() as peer:
        queue(peer, "kept")
        expected = "kept\t1\t0\t0\n"
        assert run("status", server=server) == (0, expected, "")
        with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
            intruder.execute("BEGIN IMMEDIATE")
            peer.send(Packet.SUBMIT_JOB_BG, "kept", "", "")
            peer.expect_error("QUEUE_ERROR")
            code, out, err = run("status", server=server)
            assert (code, out) == (0, expected)
            assert f"{server.address}: the journal fails, and new background jobs are refused" in err
            assert "locked by another program" in err
        wait_until(lambda: run("status", server=server).err == "", "the journal works again")


def test_status_tells_how_far_a_job_is(server: JobServer) -> None:
    with server.connect() as peer:
        handle = queue(peer, "resize", "u")
        assert run("status", handle, server=server) == (0, f"{handle}: queued\n", "")
        peer.send(Packet.CAN_DO, "resize")
        peer.send(Packet.GRAB_JOB)
        peer.expect(Packet.JOB_ASSIGN)
        peer.send(Packet.WORK_STATUS, handle, "3", "4")
        assert run("status", handle, server=server) == (0, f"{handle}: running, 3 of 4 (75 %)\n", "")
        done = run("status", "--unique", "u", server=server)
        assert done == (0, "u: running, 3 of 4 (75 %), 0 waiting for it\n", "")
        row = json.loads(run("status", handle, "--json", server=server).out)
        assert row == {"handle": handle, "known": True, "running": True, "numerator": 3, "denominator": 4}
        peer.send(Packet.WORK_COMPLETE, handle, "")
        done = run("status", handle, server=server)
        assert done == (1, "", f"geartrain: {handle}: not known: it has ended, or never was\n")
    assert run("status", "H:x:1", "--unique", "u", server=server).code == 2


def test_watching_a_job_ends_with_it(server: JobServer) -> None:
    with server.connect() as peer:
        handle = queue(peer, "resize")
        with Terminal("status", handle, "--watch", "0.1", server=server) as terminal:
            terminal.wait_for("queued")
            peer.send(Packet.CAN_DO, "resize")
            peer.send(Packet.GRAB_JOB)
            peer.expect(Packet.JOB_ASSIGN)
            terminal.wait_for("running")
            peer.send(Packet.WORK_COMPLETE, handle, "")
            terminal.wait_for("not known")
            assert terminal.wait() == 1


def test_watching_goes_on_until_ctrl_c(server: JobServer) -> None:
    with Terminal("status", "--watch", "0.1", server=server) as terminal, server.connect() as peer:
        terminal.wait_for("No function is known.")
        queue(peer, "resize")
        terminal.wait_for("resize")
        terminal.press("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.text


def test_several_servers_are_told_apart_and_one_that_is_gone_is_exit_code_3(server: JobServer) -> None:
    gone = f"127.0.0.1:{free_port()}"
    with geartrain() as other, other.connect() as peer:
        queue(peer, "mail")
        both = ("--server", server.address, "--server", other.address)
        assert run("status", *both) == (0, f"{other.address}\tmail\t1\t0\t0\n", "")
        done = run("status", "--server", gone, "--server", other.address)
        assert (done.code, done.out) == (3, f"{other.address}\tmail\t1\t0\t0\n")
        assert gone in done.err
        done = run("ping", "--server", gone, "--server", other.address)
        assert done.code == 3
        assert done.out.startswith(f"{other.address}\t")
        assert gone in done.err
    done = run("workers", "--server", gone)
    assert (done.code, done.out) == (3, "")


def test_workers_shows_who_can_do_what(server: JobServer) -> None:
    with server.connect() as worker, server.connect() as client:
        worker.send(Packet.SET_CLIENT_ID, "scaler")
        worker.send(Packet.CAN_DO, "resize")
        worker.send(Packet.CAN_DO, "crop")
        worker.send(Packet.ECHO_REQ, "x")
        worker.expect(Packet.ECHO_RES)
        client.send(Packet.ECHO_REQ, "x")
        client.expect(Packet.ECHO_RES)
        done = run("workers", server=server)
        assert done.code == 0
        address, fd, id, functions = done.out.rstrip("\n").split("\t")
        assert (address, fd.isdigit(), id, functions) == ("127.0.0.1", True, "scaler", "crop,resize")
        (row,) = json.loads(run("workers", "--json", server=server).out)
        assert row["functions"] == ["crop", "resize"]
        # The client, and the connection that asks.
        assert len(json.loads(run("workers", "--all", "--json", server=server).out)) == 3
        with Terminal("workers", server=server) as terminal:
            assert terminal.wait() == 0
            assert terminal.text.split()[:4] == ["Address", "FD", "ID", "Functions"]
            assert "scaler" in terminal.text


def test_ping_shows_the_version_and_three_times(server: JobServer) -> None:
    done = run("ping", "--count", "5", server=server)
    assert done.code == 0
    address, version, *times = done.out.rstrip("\n").split("\t")
    assert (address, version) == (server.address, "0.1.0")
    low, middle, high = map(float, times)
    assert 0 < low <= middle <= high
    (row,) = json.loads(run("ping", "--json", server=server).out)
    assert row["server"] == server.address
    assert 0 < row["min_ms"] <= row["median_ms"] <= row["max_ms"]


def test_ping_does_not_wait_for_a_server_that_says_nothing() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        done = run("ping", "--timeout", "0.3", "--server", f"127.0.0.1:{silent.getsockname()[1]}")
        assert done.code == 3
        assert time.monotonic() - begin < 10


def test_they_talk_to_gearmand_too() -> None:
    with gearmand_c() as server, server.connect() as peer:
        handle = queue(peer, "resize")
        assert run("status", server=server).out == "resize\t1\t0\t0\n"
        assert run("status", handle, server=server).out == f"{handle}: queued\n"
        assert run("ping", server=server).code == 0
        assert run("workers", server=server) == (0, "", "")


@pytest.mark.parametrize(
    "command", [["status"], ["workers"], ["admin", "jobs"], ["function", "list"]], ids=" ".join
)
def test_watch_goes_on_over_a_restart_of_the_server(command: list[str]) -> None:
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(ExitStack())
        first = server.enter_context(geartrain(port=port))
        watching = stack.enter_context(start(*command, "--watch", "0.1", "--json", server=first))
        watching.wait_until(lambda: watching.stdout.count("\n") > 1, "it shows something")
        server.close()
        watching.wait_until(lambda: "waiting for the job server" in watching.stderr, "it says that it waits")
        before = watching.stdout.count("\n")
        stack.enter_context(geartrain(port=port))
        watching.wait_until(lambda: watching.stdout.count("\n") > before, "it goes on")


def test_watching_a_job_goes_on_over_a_restart_of_the_server(tmp_path: Path) -> None:
    port, journal = free_port(), f"--journal=sqlite:{tmp_path}/journal.db"
    with ExitStack() as stack:
        server = stack.enter_context(ExitStack())
        first = server.enter_context(geartrain(journal, port=port))
        with RawPeer("127.0.0.1", port) as peer:
            handle = queue(peer, "f")
        watching = stack.enter_context(start("status", handle, "--watch", "0.1", server=first))
        watching.wait_for_output("queued")
        server.close()
        watching.wait_until(lambda: "waiting for the job server" in watching.stderr, "it says that it waits")
        before = watching.stdout.count("\n")
        stack.enter_context(geartrain(journal, port=port))
        watching.wait_until(lambda: watching.stdout.count("\n") > before, "it goes on")
        run("admin", "cancel", handle, server=first)
        assert watching.wait() == 1
