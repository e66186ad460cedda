"""The servers that are measured: how each is started, and what its version is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PYTHON: Final = str(ROOT / ".venv/bin/python")
BENCH: Final = ROOT / ".venv-bench/bin"
HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
"""Seconds that a server has to listen, and to stop."""


@dataclass(frozen=True)
class Server:
    """One server, with its defaults but for where it listens and how much it accepts."""

    name: str
    command: Callable[[int, Path], list[str]]
    version: list[str]
    protocol: str = "gearman"
    env: dict[str, str] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        """Whether its program is installed."""
        return shutil.which(self.command(0, ROOT)[0]) is not None

    def version_text(self) -> str:
        """What it says its version is."""
        done = subprocess.run(
            self.version, capture_output=True, text=True, env=os.environ | self.env, check=False
        )
        found = re.search(r"v?\d+(\.\d+)+\S*", done.stdout + done.stderr)
        return found.group().strip(",") if found else "unknown"


def _geartrain(port: int, journal: str) -> list[str]:
    return [PYTHON, "-m", "geartrain", "serve", "--listen", HOST, "--port", str(port), "--journal", journal]


def _gearmand(port: int, *options: str) -> list[str]:
    return [
        "/usr/sbin/gearmand",
        *(f"--listen={HOST}", f"--port={port}", "--log-file=stderr", "--file-descriptors=20000", *options),
    ]


_COMPILED: Final = {"PYTHONPATH": str(ROOT / "build/compiled")}
_PURE: Final = {"PYTHONPATH": str(ROOT / "src")}
_OURS: Final = [PYTHON, "-c", "import geartrain.version as v; print(v.__version__)"]
_THEIRS: Final = ["/usr/sbin/gearmand", "--version"]

SERVERS: Final = {
    server.name: server
    for server in (
        Server("geartrain", lambda port, _: _geartrain(port, "memory"), _OURS, env=_COMPILED),
        Server("geartrain, pure Python", lambda port, _: _geartrain(port, "memory"), _OURS, env=_PURE),
        Server(
            "geartrain, SQLite",
            lambda port, folder: _geartrain(port, f"sqlite:{folder}/jobs.db"),
            _OURS,
            env=_COMPILED,
        ),
        Server("gearmand", lambda port, _: _gearmand(port), _THEIRS),
        Server(
            "gearmand, SQLite",
            lambda port, folder: _gearmand(port, "-q", "libsqlite3", f"--libsqlite3-db={folder}/jobs.db"),
            _THEIRS,
        ),
        Server(
            "Gearman::Server",
            lambda port, _: ["/usr/bin/gearmand", f"--listen={HOST}", f"--port={port}"],
            ["perl", "-MGearman::Server", "-e", "print $Gearman::Server::VERSION"],
        ),
        Server(
            "beanstalkd",
            lambda port, _: ["beanstalkd", "-l", HOST, "-p", str(port)],
            ["beanstalkd", "-v"],
            "beanstalkd",
        ),
        Server(
            "Redis",
            lambda port, folder: [
                "redis-server",
                *("--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"),
                *("--dir", str(folder)),
            ],
            ["redis-server", "-v"],
            "redis",
        ),
        Server(
            "NATS",
            lambda port, _: [str(BENCH / "nats-server"), "-a", HOST, "-p", str(port)],
            [str(BENCH / "nats-server"), "-v"],
            "nats",
        ),
    )
}


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    server: Server
    pid: int
    port: int


@contextmanager
def running(name: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a server on a free port with an empty folder, and stop it when the block ends.

    Raises:
        RuntimeError: it did not start, with what it printed.
    """
    server = SERVERS[name]
    # On disk where there is one: a temporary folder in memory would make durable servers look fast.
    base = Path(os.environ.get("BENCH_DIR", ROOT / "build"))
    with tempfile.TemporaryDirectory(dir=base, prefix="bench-") as folder, tempfile.TemporaryFile() as output:
        port = free_port()
        process = subprocess.Popen(
            server.command(port, Path(folder)),
            cwd=folder,
            env=os.environ | server.env | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while not _accepts(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(f"{name} did not start: {output.read()[-2000:].decode()}")
                time.sleep(0.02)
            time.sleep(0.1)
            if process.poll() is not None:
                raise RuntimeError(f"{name} has ended, somebody else has its port")
            yield Running(server, process.pid, port)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
