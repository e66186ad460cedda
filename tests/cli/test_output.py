"""What becomes of what a command shows: full disks, closed pipes, names from the wire."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from geartrain.journal.file import JournalFile
from tests.harness.processes import Process
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, geartrain
from tests.journal.records import batch, job

from .command import GEARTRAIN, TIMEOUT, Terminal
from .command import run_here as run

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="the system has no full disk to try")


@pytest.fixture(scope="module")
def server() -> Iterator[JobServer]:
    with geartrain() as server:
        assert run("function", "set", "f", "--max-queue", "5", server=server).code == 0
        yield server


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A journal with more in it than a pipe holds."""
    path = str(tmp_path_factory.mktemp("journal") / "journal.db")
    file = JournalFile(path)
    file.open()
    file.write(batch([job(number, b"w" * 100) for number in range(1, 1001)]))
    file.close()
    return path


@needs_full
@pytest.mark.parametrize(
    "command", ["--version", "doctor", "function list", "submit geartrain.function.list", "journal export"]
)
def test_a_full_disk_is_told_in_a_sentence(command: str, server: JobServer, journal: str) -> None:
    arguments = [*command.split(), *([journal] if command.startswith("journal") else [])]
    with FULL.open("w") as full:
        done = subprocess.run(
            [*GEARTRAIN, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
            env={"GEARMAN_SERVERS": server.address},
        )
    assert done.returncode == 1
    assert done.stderr == "geartrain: standard output can't be written: No space left on device\n"


def test_a_pipe_that_nobody_reads_any_more_ends_the_command_without_a_word(journal: str) -> None:
    arguments = [*GEARTRAIN, "journal", "export", journal]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.readline()
        command.stdout.close()
        assert command.stderr.read() == b""
        assert command.wait(TIMEOUT) == 1


@needs_full
def test_a_log_on_a_full_disk_is_told_once() -> None:
    with Process(
        *GEARTRAIN, "serve", "--port", "0", "--journal", "memory", "--log-file", str(FULL)
    ) as server:
        server.wait_until(lambda: "\n" in server.stderr, "it complained")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        (line,) = server.stderr.splitlines()
        assert "log.file: /dev/full: No space left on device" in line


@pytest.mark.parametrize(
    "command",
    [
        ("admin", "create-function", "a b"),
        ("admin", "create-function", ""),
        ("admin", "drop-function", "--yes", "a b"),
        ("admin", "max-queue", "a b", "5"),
        ("admin", "cancel", "a b"),
        ("admin", "cancel", ""),
    ],
)
def test_a_name_that_the_text_protocol_can_not_carry_is_a_mistake(
    command: tuple[str, ...], server: JobServer
) -> None:
    done = run(*command, server=server)
    assert done.code == 2
    assert "the text protocol can't carry this name" in done.err


def test_a_handle_that_is_no_text_is_not_known(server: JobServer) -> None:
    done = run("result", "\udcff", server=server)
    assert done.code == 1
    assert "no job or kept result has this handle" in done.err


@pytest.mark.parametrize("columns", [80, 50])
def test_a_handle_is_whole_on_a_narrow_terminal(columns: int, server: JobServer) -> None:
    function = f"a function with a long name {columns}"
    assert run("function", "set", function, "--max-attempts", "1", "--retry", "fail", server=server).code == 0
    handle = run("submit", function, "--background", server=server).out.strip()
    with server.connect() as worker:
        worker.can_do(function)
        worker.send(Packet.WORK_FAIL, worker.grab().handle)
        worker.sync()
    with Terminal("dead", "list", "--function", function, server=server, columns=columns) as terminal:
        assert terminal.wait() == 0
        assert "\u2026" not in terminal.text
        assert handle in terminal.text
        assert not re.search(r":\d\d[+-]\d\d:", terminal.text)  # whoever sits there knows the zone
        assert max(map(len, terminal.text.splitlines())) <= columns


def test_a_name_with_a_tab_or_a_line_break_stays_one_cell(server: JobServer) -> None:
    assert run("function", "set", "a\tb\nc", "--max-queue", "5", server=server).code == 0
    rows = run("function", "list", server=server).out.splitlines()
    assert "\t".join([r"a\tb\nc", "0", "0", "0", "0", "0", "max-queue 5"]) in rows
