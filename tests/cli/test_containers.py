"""The command as the first process of a container: orphans, signals, exit codes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.processes import Process, free_port, wait_until
from tests.harness.servers import JobServer, geartrain

from .command import GEARTRAIN, run, wait_for_workers


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


pytestmark = pytest.mark.skipif(not _can_unshare(), reason="needs the right to make namespaces of processes")

CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def in_container(*arguments: str, cwd: Path | None = None) -> Process:
    return Process(*CONTAINER, *GEARTRAIN, *arguments, cwd=cwd)


def inner(process: Process) -> list[tuple[int, str, str]]:
    """The processes in the container as (pid outside, state, name), process 1 first."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pids = (stat.parent / "status").read_text()
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        numbers = next(line for line in pids.splitlines() if line.startswith("NSpid:")).split()[1:]
        if len(numbers) > 1 and _is_below(int(numbers[0]), process.pid):
            found.append((int(numbers[-1]), rest.split()[0], name))
    return sorted(found)


def _is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def test_a_worker_as_process_1_reaps_what_its_programs_leave_behind(
    server: JobServer, tmp_path: Path
) -> None:
    # Each job leaves an orphan that ends soon after it.
    shell = "leave=(sleep 0.2 &) ; echo left"
    with in_container("work", "--shell", shell, "--server", server.address) as worker:
        wait_for_workers(server, "leave")
        for _ in range(3):
            assert run("submit", "leave", server=server).out == "left\n"
        wait_until(lambda: not any(name == "sleep" for _, _, name in inner(worker)), "the orphans have ended")
        assert not any(state == "Z" for _, state, _ in inner(worker))
        first = worker_pid_of(worker)
        subprocess.run(["kill", "-TERM", str(first)], check=True)
        assert worker.wait(30) == 0


def worker_pid_of(process: Process) -> int:
    """The pid outside of the container's process 1."""
    for stat in Path("/proc").glob("[0-9]*/status"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        numbers = next(line for line in text.splitlines() if line.startswith("NSpid:")).split()[1:]
        if numbers[-1] == "1" and len(numbers) > 1 and _is_below(int(numbers[0]), process.pid):
            return int(numbers[0])
    raise AssertionError("the container has no process 1")


def test_a_server_as_process_1_ends_at_sigterm() -> None:
    port = free_port()
    with in_container("serve", "--listen", f"127.0.0.1:{port}", "--journal", "memory") as server:
        server.wait_for_output("the job server listens")
        subprocess.run(["kill", "-TERM", str(worker_pid_of(server))], check=True)
        assert server.wait(30) == 0


def test_the_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    assert in_container_code("ping", "--server", "127.0.0.1:1") == 3
    assert in_container_code("status", "--watch", "never") == 2
    assert in_container_code("--version") == 0


def in_container_code(*arguments: str) -> int:
    done = subprocess.run([*CONTAINER, *GEARTRAIN, *arguments], capture_output=True, timeout=60)
    return done.returncode


def test_a_module_that_hangs_at_its_import_ends_at_the_first_sigterm(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(
        "import sys, time\nprint('imported', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    with in_container("work", "hangs:worker", cwd=tmp_path) as worker:
        worker.wait_for_output("imported")
        subprocess.run(["kill", "-TERM", str(worker_pid_of(worker))], check=True)
        assert worker.wait(30) == 128 + 15


def test_subprocesses_of_handlers_have_their_own_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "import subprocess\nfrom geartrain import Worker\nworker = Worker()\n"
        '@worker.function("code")\ndef code(job):\n'
        '    return str(subprocess.run(["sh", "-c", "exit 7"]).returncode)\n'
    )
    with geartrain() as server, in_container("work", "tasks", "--server", server.address, cwd=tmp_path):
        wait_for_workers(server, "code")
        assert run("submit", "code", server=server).out == "7"
