"""docs/workers.md: its modules work, and its commands start, work and stop."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from geartrain import Client, JobException
from tests.harness.processes import Process
from tests.server.running import RunningServer

PAGE: Final = (Path(__file__).parents[2] / "docs" / "workers.md").read_text()
BLOCKS: Final = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS: Final = [line.strip() for line in re.findall(r"^geartrain work [^#\n]*", PAGE, re.MULTILINE)]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, server: RunningServer) -> Path:
    """The page's modules, for the test's server."""
    for block in BLOCKS:
        name = re.match(r"# (\w+\.py)\n", block)
        if name:
            (tmp_path / name[1]).write_text(block.replace("127.0.0.1:4730", f"127.0.0.1:{server.port}"))
    return tmp_path


@contextmanager
def working(command: str, folder: Path) -> Iterator[Process]:
    words = shlex.split(command)
    with Process(sys.executable, "-m", *words, cwd=folder) as work:
        work.wait_for_output("connected to the job server", 30)
        yield work
        work.signal(signal.SIGTERM)
        assert work.wait(30) == 0


def test_there_is_something_to_try() -> None:
    assert len(COMMANDS) >= 9
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_work(command: str, folder: Path, server: RunningServer) -> None:
    with working(command, folder), Client(f"127.0.0.1:{server.port}", timeout=30) as client:
        assert client.run("resize", b'["cat", 640]') == b'"cat at 640"'
        assert client.run("fetch", b'["http://host"]') == b"11"


def test_both_kinds_of_time_limit(folder: Path, server: RunningServer) -> None:
    with (
        working("geartrain work limited --processes 1", folder),
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        for function in ("render", "wait"):
            with pytest.raises(JobException, match=r"the job went past its time limit of 0\.5 s"):
                client.run(function)
        assert "the job went past its\ntime limit of 0.5 s" in PAGE


def test_the_hooks(folder: Path, server: RunningServer) -> None:
    with (
        working("geartrain work hooked", folder) as work,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        assert client.run("total", b"[2, 3]", unique="u1") == b"5"
        with pytest.raises(JobException, match="that is too much"):
            client.run("total", b" " * 1_000_001)
        for line in ('"unique": "u1"', '"event": "done"', '"event": "not done"'):
            work.wait_for_output(line)


def test_a_worker_in_a_program_of_one_s_own(folder: Path) -> None:
    (block,) = (block for block in BLOCKS if "async def main" in block)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "jobs: 0\n", done.stderr
