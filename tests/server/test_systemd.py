"""What systemd and the server tell each other; the test is systemd."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geartrain.server import systemd
from tests.harness.processes import Process, accepts, free_port
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import HOST, geartrain

ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
DEPLOY = Path(__file__).parents[2] / "deploy"
SERVE = (sys.executable, "-m", "geartrain", "serve", "--journal", "memory")


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that services notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


def told(notified: socket.socket) -> dict[str, str]:
    """The next message, but for signs of life."""
    while True:
        lines = notified.recv(4096).decode().splitlines()
        message = dict(line.split("=", 1) for line in lines)
        if set(message) != {"WATCHDOG"}:
            return message


def test_it_says_when_it_is_ready_reloads_and_stops(notified: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": str(notified.getsockname())}
    with Process(*SERVE, "--port", str(port := free_port()), env=environment) as server:
        assert told(notified) == {"READY": "1", "MAINPID": str(server.pid)}
        # Ready means ready.
        assert accepts(HOST, port)
        server.signal(signal.SIGHUP)
        reloading = told(notified)
        assert reloading["RELOADING"] == "1"
        assert 0 < int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert told(notified) == {"READY": "1"}
        server.signal(signal.SIGTERM)
        assert told(notified) == {"STOPPING": "1"}
        assert server.wait() == 0


def test_it_shows_that_it_lives_twice_as_often_as_it_has_to(notified: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": str(notified.getsockname()), "WATCHDOG_USEC": "600000"}
    with Process(*SERVE, "--port", "0", env=environment) as server:
        assert told(notified)["READY"] == "1"
        for _ in range(3):
            assert notified.recv(100) == b"WATCHDOG=1"
        # One that hangs shows nothing.
        server.signal(signal.SIGSTOP)
        with contextlib.suppress(BlockingIOError):
            notified.setblocking(False)
            while notified.recv(100):
                pass
        notified.settimeout(1)
        with pytest.raises(TimeoutError):
            notified.recv(100)
        server.signal(signal.SIGCONT)
        notified.settimeout(10)
        assert notified.recv(100) == b"WATCHDOG=1"


def _activated(listening: socket.socket) -> subprocess.Popen[bytes]:
    """A server that is handed a socket as systemd does it: descriptor 3, for this process id."""
    return subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, str(listening.fileno()), *SERVE, "--port", "0"],
        pass_fds=[listening.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_no_connection_is_refused_while_it_restarts() -> None:
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen(100)
        port = listening.getsockname()[1]
        # It is not there yet, and whoever comes waits.
        early = RawPeer(HOST, port, timeout=30)
        early.send(Packet.ECHO_REQ, "early")
        for number in range(2):
            server = _activated(listening)
            try:
                early.expect(Packet.ECHO_RES)
                server.terminate()
                assert server.wait(20) == 0
                early.expect_closed()
                early.close()
                early = RawPeer(HOST, port, timeout=30)
                early.send(Packet.ECHO_REQ, number)
            finally:
                server.kill()
                server.wait()
        early.close()


def test_sockets_for_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd.listening_sockets() == []
    with geartrain() as server, server.connect() as peer:
        peer.sync()


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert systemd.notify("READY=1") is False
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    assert systemd.notify("READY=1") is False


def test_the_unit_is_one(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    for name in ("geartrain.service", "geartrain.socket"):
        shutil.copy(DEPLOY / name, tmp_path / name)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        timeout=60,
    )
    complaints = [line for line in verified.stderr.splitlines() if str(tmp_path) in line]
    assert complaints == []
    security = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=yes",
            "--threshold=20",
            str(tmp_path / "geartrain.service"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert security.returncode == 0, security.stdout
