"""geartrain work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.harness.processes import Process, wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, require

from .command import run, run_bytes, start, wait_for_workers

TASKS = """
from geartrain import Worker
import time

worker = Worker("127.0.0.1:1", client_id="tasks")
empty = Worker()

@worker.function("reverse")
def reverse(job):
    return job.workload[::-1]

@worker.function("nap")
def nap(job):
    job.data("asleep")
    time.sleep(float(job.workload))
    return "awake"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "broken.py").write_text("def f():\n    return 1 / 0\n\nf()\n")
    (tmp_path / "wanting.py").write_text("import not_installed_anywhere\n")
    return tmp_path


def test_a_module_of_the_working_directory_works_for_the_servers_it_is_told(
    server: JobServer, folder: Path
) -> None:
    with start("work", "tasks:worker", "--server", server.address, server=server, cwd=folder) as worker:
        wait_for_workers(server, "reverse")
        assert run("submit", "reverse", "abc", server=server) == (0, "cba", "")
        (row,) = json.loads(run("workers", "--json", server=server).out)
        assert row["id"] == "tasks"
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        last = json.loads(worker.stderr.splitlines()[-1])
        assert (last["event"], last["jobs"]) == ("the worker has stopped", 1)


def test_the_job_in_hand_is_finished_after_sigterm(server: JobServer, folder: Path) -> None:
    with start("work", "tasks", "-s", server.address, server=server, cwd=folder) as worker:
        with start("submit", "nap", "0.5", server=server) as client:
            client.wait_for_output("asleep")
            worker.signal(signal.SIGTERM)
            assert client.wait() == 0
            assert client.stdout == "asleepawake"
        assert worker.wait() == 0


def test_it_ends_after_so_many_jobs(server: JobServer) -> None:
    with start("work", "--shell", "up=tr a-z A-Z", "--max-jobs", "2", server=server) as worker:
        assert run("submit", "up", "--lines", stdin="a\nb\n", server=server).out == "A\nB\n"
        assert worker.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tasks:nobody",), "tasks:nobody is not there; there is tasks:empty and tasks:worker"),
        (("tasks:reverse",), "tasks:reverse is not a Worker; there is tasks:empty and tasks:worker"),
        (("tasks:empty",), "the worker tasks:empty has no functions; register some first"),
        (("tasks.py",), "tasks.py is a file; name the module, as in tasks:worker"),
        (("sub/tasks.py:worker",), "sub/tasks.py is a file; name the module, as in sub.tasks:worker"),
        (("nothing:worker",), "there is no module nothing in"),
        (("nothing.at.all",), "there is no module nothing in"),
        ((), "name a worker as MODULE:WORKER, or a --shell FUNCTION=COMMAND"),
        (("--shell", "reverse"), "'reverse': --shell wants FUNCTION=COMMAND"),
        (("--shell", "reverse="), "'reverse=': --shell wants FUNCTION=COMMAND"),
        (("tasks", "--lines"), "--lines, --strip and --timeout are for --shell"),
        (("tasks", "--prefix", "x"), "a module's worker has its own"),
        (("--shell", "f=cat", "--client-id", "a b"), "a client id may not hold spaces"),
        (("tasks", "--server", "host:port"), "the port must be a number"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_exit_code_2(
    arguments: tuple[str, ...], sentence: str, folder: Path
) -> None:
    done = run("work", *arguments, cwd=folder)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_a_module_that_can_not_be_imported_shows_its_own_traceback(folder: Path) -> None:
    done = run("work", "broken:worker", cwd=folder)
    assert done.code == 2
    assert done.err.startswith("geartrain: the module broken could not be imported\n")
    assert 'broken.py", line 2, in f\n    return 1 / 0\n' in done.err
    assert done.err.endswith("ZeroDivisionError: division by zero\n")
    assert "geartrain/cli" not in done.err
    done = run("work", "wanting", cwd=folder)
    assert done.code == 2
    assert "ModuleNotFoundError: No module named 'not_installed_anywhere'" in done.err


def test_a_shell_command_gets_the_job_and_its_output_is_the_result(server: JobServer) -> None:
    binary = bytes(range(256)) * 1000
    with start("work", "--shell", "same=cat", "--shell", "deaf=echo heard nothing", server=server):
        assert run_bytes("submit", "same", "-", stdin=binary, server=server) == (0, binary)
        # It need not read its job.
        assert run_bytes("submit", "deaf", "-", stdin=binary, server=server) == (0, b"heard nothing\n")


def test_a_shell_command_that_fails_fails_the_job_and_the_log_says_how(server: JobServer) -> None:
    with start("work", "--shell", "bad=exit 3", "--shell", "gone=kill -9 $$", server=server) as worker:
        for function, how in (("bad", "exit code 3"), ("gone", "signal 9")):
            assert run("submit", function, server=server).code == 1
            worker.wait_for_output(f"ended with {how}")


@pytest.mark.parametrize(
    "more", [[], ["--threads", "2"], ["--concurrency", "2"], ["--processes", "1"]], ids=" ".join
)
def test_a_shell_command_past_its_time_limit_is_stopped_and_its_client_told(
    server: JobServer, tmp_path: Path, more: list[str]
) -> None:
    # Neither the shell nor its child heeds SIGTERM.
    shell = (
        "stubborn=echo $$ >> runs; trap '' TERM; sh -c \"trap '' TERM; echo \\$\\$ >> children; sleep 60\""
    )
    command = ["work", "--shell", shell, "--shell", "good=echo fine", "--timeout", "0.5", *more]
    with start(*command, server=server, cwd=tmp_path):
        wait_for_workers(server, "stubborn")
        done = run("submit", "stubborn", server=server)
        assert (done.code, "time limit of 0.5 s" in done.err) == (1, True)
        for file in ("runs", "children"):
            (pid,) = map(int, (tmp_path / file).read_text().split())
            wait_until(lambda pid=pid: not _lives(pid), "its processes have ended")  # type: ignore[misc]
        assert run("submit", "good", server=server).out == "fine\n"
        # Nothing waits to be run again.
        assert run("status", server=server).out.splitlines()[0].split("\t")[1:3] == ["0", "0"]


def test_a_shell_command_that_ends_at_sigterm_is_not_killed(server: JobServer, tmp_path: Path) -> None:
    shell = "tidy=trap 'echo tidied > tidied; exit 0' TERM; sleep 60 & wait"
    with start("work", "--shell", shell, "--timeout", "0.3", server=server, cwd=tmp_path):
        done = run("submit", "tidy", server=server)
    assert (done.code, "time limit" in done.err) == (1, True)
    assert (tmp_path / "tidied").read_text() == "tidied\n"


@pytest.mark.parametrize("more", [[], ["--lines"], ["--threads", "2"]], ids=" ".join)
def test_a_shell_job_ends_with_its_command_whatever_holds_its_output_open(
    server: JobServer, tmp_path: Path, more: list[str]
) -> None:
    shell = "f=sleep 300 & echo $! > pid; echo hi"
    with start("work", "--shell", shell, *more, server=server, cwd=tmp_path):
        try:
            assert run("submit", "f", "--timeout", "20", server=server).out == "hi\n"
        finally:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_all_that_a_shell_command_has_written_is_in_its_result(server: JobServer) -> None:
    shell = "big=head -c 3000000 /dev/zero"
    with start("work", "--shell", shell, server=server):
        assert run_bytes("submit", "big", server=server) == (0, bytes(3_000_000))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "line", ["worker.run()", "import asyncio; asyncio.run(worker.run_async())"], ids=["run", "run_async"]
)
def test_a_module_that_runs_its_worker_at_its_import_is_refused(
    server: JobServer, tmp_path: Path, line: str
) -> None:
    (tmp_path / "selfish.py").write_text(
        "from geartrain import Worker\nworker = Worker()\n"
        f'@worker.function("f")\ndef f(job): return b""\n{line}\n'
    )
    done = run("work", "selfish", server=server, cwd=tmp_path)
    assert done.code == 2
    assert "the module selfish runs its worker when it is imported" in done.err
    assert "Traceback" not in done.err


def test_a_shell_command_knows_its_job(server: JobServer) -> None:
    shell = 'who=echo "$GEARMAN_FUNCTION $GEARMAN_UNIQUE $GEARMAN_HANDLE"'
    with start("work", "--shell", shell, "--strip", server=server):
        done = run("submit", "who", "--unique", "me", "--json", server=server)
        row = json.loads(done.out)
        assert row["result"] == f"who me {row['handle']}"


def test_lines_of_a_shell_command_reach_the_client_while_it_runs(server: JobServer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    shell = "talk=echo one; read x < pipe; echo $x"
    with server.connect() as peer, start("work", "--shell", shell, "--lines", server=server, cwd=tmp_path):
        peer.send(Packet.SUBMIT_JOB, "talk", "", "")
        (handle,) = peer.expect(Packet.JOB_CREATED)
        assert peer.expect(Packet.WORK_DATA) == (handle, b"one\n")
        (tmp_path / "pipe").write_text("two\n")
        assert peer.expect(Packet.WORK_DATA) == (handle, b"two\n")
        assert peer.expect(Packet.WORK_COMPLETE) == (handle, b"")


def test_a_timeout_and_a_prefix_are_announced(server: JobServer) -> None:
    options = (
        "--shell",
        "slow=sleep 0.1; echo done",
        "--timeout",
        "30",
        "--prefix",
        "test",
        "--client-id",
        "me",
    )
    with start("work", *options, server=server):
        wait_for_workers(server, "test\tslow")
        assert run("submit", "slow", "--prefix", "test", server=server) == (0, "done\n", "")
        assert json.loads(run("workers", "--json", server=server).out)[0]["id"] == "me"


def test_a_second_signal_ends_the_command_with_the_worker(server: JobServer, tmp_path: Path) -> None:
    shell = "long=echo $$ > pid; exec sleep 60"
    with start("work", "--shell", shell, server=server, cwd=tmp_path) as worker, server.connect() as peer:
        peer.send(Packet.SUBMIT_JOB, "long", "", "")
        pid = tmp_path / "pid"
        worker.wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), "the command runs")
        child = Path("/proc", pid.read_text().strip())
        worker.signal(signal.SIGINT)
        worker.wait_for_output("another signal stops at once")
        assert child.exists()
        worker.signal(signal.SIGINT)
        assert worker.wait() == 130
        worker.popen.wait()
        assert not child.exists()


def test_the_gearman_tool_of_libgearman_is_a_client_of_a_shell_worker(server: JobServer) -> None:
    require("gearman", "the gearman tool is missing: apt-get install gearman-tools")
    with start("work", "--shell", "up=tr a-z A-Z", "--shell", "bad=exit 1", server=server):
        tool = ["gearman", "-h", server.host, "-p", str(server.port)]
        done = subprocess.run([*tool, "-f", "up", "abc"], capture_output=True, timeout=30)
        assert (done.returncode, done.stdout) == (0, b"ABC")
        done = subprocess.run([*tool, "-f", "bad", "abc"], capture_output=True, timeout=30)
        assert done.returncode == 1


def test_the_gearman_tool_of_libgearman_is_a_worker_for_submit(server: JobServer) -> None:
    require("gearman", "the gearman tool is missing: apt-get install gearman-tools")
    tool = shutil.which("gearman") or ""
    with Process(tool, "-w", "-h", server.host, "-p", str(server.port), "-f", "count", "--", "wc", "-c"):
        assert run("submit", "count", "hello", server=server) == (0, "5\n", "")
        done = run("submit", "count", "--lines", stdin="a\nbb\n", server=server)
        assert done == (0, "1\n2\n", "")
