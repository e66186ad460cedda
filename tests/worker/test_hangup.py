"""SIGHUP, and terminals that close: the jobs in hand finish, and the process ends."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from geartrain import Client
from tests.harness.processes import Process, free_port, wait_until
from tests.server.running import RunningServer

from .test_forks import works

TASKS = """
import os, time
from geartrain import Worker

worker = Worker()

@worker.function
def slow(job):
    open(os.environ["FOLDER"] + "/begun", "w").close()
    while not os.path.exists(os.environ["FOLDER"] + "/go"):
        time.sleep(0.01)
    return "done"

@worker.function
async def slow_coroutine(job):
    return slow(job)

@worker.function
def says(job):
    raise ValueError("a line in the log")
"""
PROGRAM = (
    TASKS
    + """
import sys
worker.servers = sys.argv[1]
worker.run()
"""
)
MODES = {
    "one loop": [],
    "threads": ["--threads", "3"],
    "coroutines": ["--concurrency", "5"],
}


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


def work(server: RunningServer, folder: Path, *options: str) -> list[str]:
    (folder / "tasks.py").write_text(TASKS)
    address = f"127.0.0.1:{server.port}"
    return [sys.executable, "-m", "geartrain", "work", "tasks", "--server", address, *options]


class Terminal:
    """A program on a terminal of its own, in the foreground of a session of its own."""

    def __init__(self, folder: Path, *command: str) -> None:
        os.environ["FOLDER"] = str(folder)
        self.pid, self._ours = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)
                os.execv(command[0], command)
            finally:
                os._exit(127)
        self.shown = b""
        self.code: int | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def wait_for(self, text: str) -> None:
        def is_shown() -> bool:
            if select.select([self._ours], [], [], 0)[0]:
                self.shown += os.read(self._ours, 65536)
            return text.encode() in self.shown

        wait_until(is_shown, f"{text!r} is shown", 20)

    def close(self) -> None:
        """Close the terminal: the system sends SIGHUP, and writing to it fails from now on."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    @property
    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None


@pytest.mark.parametrize("function", ["slow", "slow_coroutine"])
@pytest.mark.parametrize("mode", MODES)
def test_sighup_lets_the_job_in_hand_finish_and_ends_the_worker(
    server: RunningServer, tmp_path: Path, mode: str, function: str
) -> None:
    command = work(server, tmp_path, *MODES[mode])
    with (
        Process(*command, cwd=tmp_path, env={"FOLDER": str(tmp_path)}) as process,
        Client(f"127.0.0.1:{server.port}", timeout=20) as client,
    ):
        future = client.submit(function)
        wait_until((tmp_path / "begun").exists, "the job began", 20)
        # A closing terminal may send it twice.
        process.signal(signal.SIGHUP)
        process.wait_for_output("stopping when the job in hand is done")
        process.signal(signal.SIGHUP)
        (tmp_path / "go").touch()
        assert future.result(20) == b"done"
        assert process.wait() == 0


@pytest.mark.parametrize("kind", ["geartrain work", "worker.run"])
def test_a_terminal_that_closes_lets_the_job_in_hand_finish(
    server: RunningServer, tmp_path: Path, kind: str
) -> None:
    command = work(server, tmp_path)
    if kind == "worker.run":
        (tmp_path / "program.py").write_text(PROGRAM)
        command = [sys.executable, "program.py", f"127.0.0.1:{server.port}"]
    with Client(f"127.0.0.1:{server.port}", timeout=20) as client, Terminal(tmp_path, *command) as terminal:
        future = client.submit("slow")
        wait_until((tmp_path / "begun").exists, "the job began", 20)
        terminal.close()
        (tmp_path / "go").touch()
        assert future.result(20) == b"done"
        wait_until(lambda: terminal.ended, "the worker ended")


def test_a_terminal_that_closes_ends_the_processes_of_a_supervisor(
    server: RunningServer, tmp_path: Path
) -> None:
    with (
        Client(f"127.0.0.1:{server.port}", timeout=20) as client,
        Terminal(tmp_path, *work(server, tmp_path, "--processes", "2")) as terminal,
    ):
        future = client.submit("slow")
        wait_until((tmp_path / "begun").exists, "the job began", 20)
        terminal.close()
        (tmp_path / "go").touch()
        assert future.result(20) == b"done"
        wait_until(lambda: terminal.ended, "the supervisor ended")


@pytest.mark.parametrize("kind", ["serve", "gearmand"])
def test_a_terminal_that_closes_ends_a_server(tmp_path: Path, kind: str) -> None:
    port = free_port()
    options = ["--listen", "127.0.0.1", "--port", str(port)]
    if kind == "serve":
        options += ["--journal", "memory"]
    with Terminal(tmp_path, sys.executable, "-m", "geartrain", kind, *options) as terminal:
        terminal.wait_for("the job server listens")
        terminal.close()
        wait_until(lambda: terminal.ended, "the server ended", 20)
        assert terminal.code == 0


def test_a_worker_goes_on_when_its_log_cannot_be_written(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + PROGRAM
    )
    command = [sys.executable, "program.py", f"127.0.0.1:{server.port}"]
    with Client(f"127.0.0.1:{server.port}", timeout=20) as client, Terminal(tmp_path, *command) as terminal:
        future = client.submit("slow")
        wait_until((tmp_path / "begun").exists, "the job began", 20)
        terminal.close()
        (tmp_path / "go").touch()
        assert future.result(20) == b"done"
        for _ in range(3):
            with pytest.raises(Exception, match="a line in the log"):
                client.run("says")
        assert works(terminal.pid)
