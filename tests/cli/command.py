"""Runs the geartrain command as scripts do, and as people do at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from typer.testing import CliRunner

from geartrain.cli import app
from geartrain.cli.exits import code_of
from geartrain.errors import GeartrainError
from tests.harness.processes import Process, wait_until
from tests.harness.servers import JobServer

GEARTRAIN: Final = (sys.executable, "-m", "geartrain")
TIMEOUT: Final = 30.0
COLUMNS: Final = 120

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Done(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def run_bytes(
    *arguments: str | bytes, stdin: bytes = b"", server: JobServer | None = None
) -> tuple[int, bytes]:
    """Run the command with pipes; returns its exit code and output."""
    done = subprocess.run(
        [*GEARTRAIN, *arguments], input=stdin, capture_output=True, timeout=TIMEOUT, env=_environment(server)
    )
    return done.returncode, done.stdout


def run(
    *arguments: str | bytes,
    stdin: str = "",
    server: JobServer | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Done:
    """Run the command with pipes, for a job server that it finds in GEARMAN_SERVERS."""
    done = subprocess.run(
        [*GEARTRAIN, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env={**_environment(server), **(env or {})},
        cwd=cwd,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def run_here(*arguments: str, stdin: str = "", server: JobServer | None = None) -> Done:
    """Run the command in this process, which is many times faster."""
    done = CliRunner().invoke(app, arguments, stdin, env=_environment(server))
    code, complaint = done.exit_code, done.stderr
    if isinstance(done.exception, GeartrainError):
        code, complaint = code_of(done.exception), f"{complaint}geartrain: {done.exception}\n"
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(code, done.stdout_bytes.decode("utf-8", "surrogateescape"), complaint)


def start(
    *arguments: str,
    server: JobServer,
    cwd: str | os.PathLike[str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Process:
    """The command as a process that goes on, as a context manager."""
    return Process(*GEARTRAIN, *arguments, env={"GEARMAN_SERVERS": server.address}, cwd=cwd, stdin=stdin)


def wait_for_workers(server: JobServer, *functions: str) -> None:
    """Wait until each function has a worker."""

    def announced() -> bool:
        rows = _status(server)
        return all(function in rows and rows[function][2] for function in functions)

    wait_until(announced, f"{functions} have workers")


def waiting(server: JobServer, function: str) -> int:
    """How many jobs of a function are queued."""
    total, running, _ = _status(server).get(function, (0, 0, 0))
    return total - running


def _status(server: JobServer) -> dict[str, tuple[int, int, int]]:
    with server.connect() as peer:
        peer.send_text("status")
        rows = [line.decode().rsplit("\t", 3) for line in peer.recv_lines()]
    return {function: (int(total), int(running), int(workers)) for function, total, running, workers in rows}


def _environment(server: JobServer | None) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "GEARMAN_SERVERS"}
    if server is not None:
        environment["GEARMAN_SERVERS"] = server.address
    return environment


class Terminal:
    """The command at a terminal: what it shows is read, and keys can be pressed. A context manager.

    `program` is what `arguments` are for, if it is not the command.
    """

    def __init__(
        self,
        *arguments: str,
        program: Sequence[str] = GEARTRAIN,
        server: JobServer | None = None,
        env: Mapping[str, str] | None = None,
        columns: int = COLUMNS,
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        try:
            # A session of its own with this terminal, so that Ctrl-C is a signal for it.
            self.popen = subprocess.Popen(
                ["setsid", "--ctty", *program, *arguments],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                # Where tests run in parallel, the environment has a width, which goes before the terminal's.
                env={
                    **_environment(server),
                    "TERM": "xterm-256color",
                    "COLUMNS": str(columns),
                    **(env or {}),
                },
            )
        finally:
            os.close(theirs)
        self.raw = ""
        """Everything that it has shown, with its colours."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"--- the terminal shows:\n{self.text}")
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        os.close(self._ours)

    @property
    def text(self) -> str:
        """What it has shown, without colours and the like."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def press(self, keys: str) -> None:
        """Press keys; `"\\x03"` is Ctrl-C and `"\\x04"` is Ctrl-D."""
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str, timeout: float = TIMEOUT) -> None:
        """Wait until it shows a text."""
        deadline = time.monotonic() + timeout
        while text not in self.text:
            left = deadline - time.monotonic()
            if left < 0 or not self._read(left):
                raise AssertionError(f"waited in vain for {text!r}; the terminal shows:\n{self.text}")

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Wait until it ends; returns the exit code."""
        deadline = time.monotonic() + timeout
        while self._read(deadline - time.monotonic()):
            assert time.monotonic() < deadline, f"it did not end; the terminal shows:\n{self.text}"
        return self.popen.wait(timeout)

    def _read(self, timeout: float) -> bool:
        """Read what there is; false when there will be no more, or nothing in time."""
        if not select.select([self._ours], [], [], max(0.0, timeout))[0]:
            return False
        with contextlib.suppress(OSError):  # what Linux says at a terminal's end
            data = os.read(self._ours, 65536)
            self.raw += data.decode("utf-8", "replace")
            return bool(data)
        return False
