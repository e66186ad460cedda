"""geartrain serve and --version."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from geartrain.version import __version__
from tests.harness.processes import Process, accepts, free_port, wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import HOST

GEARTRAIN = (sys.executable, "-m", "geartrain")


def first_line(server: Process) -> dict[str, object]:
    server.wait_until(lambda: "\n" in server.stderr, "it logged a line")
    line: dict[str, object] = json.loads(server.stderr.splitlines()[0])
    return line


def port_of(line: dict[str, object]) -> int:
    addresses = line["addresses"]
    assert isinstance(addresses, list)
    return int(addresses[0].rpartition(":")[2])


def test_the_version_says_which_form_runs() -> None:
    with Process(*GEARTRAIN, "--version") as command:
        assert command.wait() == 0
        assert re.fullmatch(rf"geartrain {re.escape(__version__)} \((pure|compiled)\)\n", command.stdout)


def test_the_first_line_of_the_log_says_what_runs_and_where() -> None:
    command = (*GEARTRAIN, "serve", "--port", "0", "--listen", "127.0.0.1", "--listen", "::1")
    with Process(*command, "--journal", "memory") as server:
        line = first_line(server)
        assert line["version"] == __version__
        assert line["form"] in ("pure", "compiled")
        assert line["loop"] in ("uvloop", "asyncio")
        assert line["journal"] == "memory"
        addresses = line["addresses"]
        assert isinstance(addresses, list)
        assert [str(address).rpartition(":")[0] for address in addresses] == ["127.0.0.1", "[::1]"]
        assert accepts(HOST, port_of(line))


def test_a_server_that_is_told_nothing_keeps_its_jobs_in_the_state_folder(tmp_path: Path) -> None:
    environment = {"STATE_DIRECTORY": str(tmp_path)}
    command = (*GEARTRAIN, "serve", "--port", "0")
    with Process(*command, env=environment) as server:
        line = first_line(server)
        assert line["journal"] == f"sqlite:{tmp_path}/journal.db"
        with RawPeer(HOST, port_of(line)) as peer:
            peer.send(Packet.SUBMIT_JOB_BG, "reverse", "", "kept")
            peer.expect(Packet.JOB_CREATED)
        server.kill()
    with sqlite3.connect(tmp_path / "journal.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    with Process(*command, env=environment) as server:
        line = first_line(server)
        assert line["jobs"] == 1
        with RawPeer(HOST, port_of(line)) as peer:
            peer.send(Packet.CAN_DO, "reverse")
            peer.send(Packet.GRAB_JOB)
            assert peer.expect(Packet.JOB_ASSIGN)[2] == b"kept"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_it_says_so(number: signal.Signals) -> None:
    with Process(*GEARTRAIN, "serve", "--port", "0", "--journal", "memory") as server:
        first_line(server)
        server.signal(number)
        assert server.wait() == 0
        assert json.loads(server.stderr.splitlines()[-1])["event"] == "the job server has stopped"


def test_on_a_terminal_the_log_is_for_people() -> None:
    ours, theirs = pty.openpty()
    port = free_port()
    script = 'exec "$@" 2>&0'
    command = ("sh", "-c", script, "sh", *GEARTRAIN, "serve", "--port", str(port), "--journal", "memory")
    with Process(*command, stdin=theirs) as server, os.fdopen(ours, "rb", buffering=0) as terminal:
        os.close(theirs)
        server.wait_until(lambda: accepts(HOST, port), "it accepts connections")
        seen = b""

        def logged() -> bool:
            nonlocal seen
            seen += terminal.read(4096)
            return b"\n" in seen

        wait_until(logged, "it logged a line")
        text = re.sub(r"\x1b\[[0-9;]*m", "", seen.decode())
        assert "the job server listens" in text
        assert f"127.0.0.1:{port}" in text
        assert not text.startswith("{")


def test_a_taken_port_ends_it_with_a_sentence() -> None:
    with Process(*GEARTRAIN, "serve", "--port", "0", "--journal", "memory") as first:
        port = str(port_of(first_line(first)))
        with Process(*GEARTRAIN, "serve", "--port", port, "--journal", "memory") as second:
            assert second.wait() == 1
            line = json.loads(second.stderr)
            assert line["event"] == "the job server could not go on"
            assert (
                f"127.0.0.1:{port}: address already in use; another program listens there" in line["reason"]
            )


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nowhere.invalid", "nowhere.invalid can't be found"),
        ("unix:/nowhere/g.sock", "unix:/nowhere/g.sock: there is no folder /nowhere: make it first"),
        (f"unix:{__file__}", "a file is there that is no socket"),
        ("192.0.2.1", "192.0.2.1:0: cannot assign requested address; listen at an address of this machine"),
    ],
)
def test_an_address_that_can_not_be_had_is_named_also_when_the_log_is_elsewhere(
    tmp_path: Path, address: str, sentence: str
) -> None:
    log = tmp_path / "log"
    options = ("--listen", address, "--port", "0", "--journal", "memory", "--log-file", str(log))
    with Process(*GEARTRAIN, "serve", *options) as server:
        assert server.wait() == 1
        assert sentence in server.stderr
        assert "Traceback" not in server.stderr
    assert sentence in log.read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--listen", "nowhere:port"), "the port must be a number up to 65535, not 'port'"),
        (("--journal", "mysql:jobs"), "'mysql:jobs' names no journal"),
        (("--journal", "./jobs.db"), "did you mean 'sqlite:./jobs.db'?"),
        (("--port", "70000"), "less than or equal to 65535"),
    ],
)
def test_what_it_cannot_understand_is_a_usage_error(options: tuple[str, str], sentence: str) -> None:
    with Process(*GEARTRAIN, "serve", *options) as server:
        assert server.wait() == 2
        assert sentence in server.stderr
        assert "Traceback" not in server.stderr
