"""`geartrain work` with processes, threads and coroutines, against a real job server: kills, limits, ends."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from geartrain import Client, JobException, JobFuture
from tests.harness.processes import Process, free_port, wait_until
from tests.harness.servers import JobServer, geartrain
from tests.server.running import RunningServer

APP: Final = """
import asyncio, os, re, threading, time
import structlog
from geartrain import JobFailed, Worker, current_job

worker = Worker("127.0.0.1:1")
log = structlog.get_logger("app")

@worker.function("pid")
def pid(job):
    return str(os.getpid())

@worker.function("nap")
def nap(job):
    time.sleep(float(job.workload))
    return str(os.getpid())

@worker.function("nap_async")
async def nap_async(job):
    await asyncio.sleep(float(job.workload))
    return threading.current_thread().name

@worker.function("spin", time_limit=0.3)
def spin(job):
    while True:
        pass

@worker.function("hold", time_limit=0.3)
def hold(job):
    # One bytecode that keeps the interpreter's lock: it asks for signals now and then, not for other threads.
    re.match("(a+)+$", "a" * 64 + "b")

@worker.function("late", time_limit=0.3)
def late(job):
    time.sleep(1)

@worker.function("sleep_async", time_limit=0.3)
async def sleep_async(job):
    await asyncio.sleep(1000)

@worker.function("block_async", time_limit=0.3)
async def block_async(job):
    time.sleep(1000)

@worker.function("log")
def logs(job):
    log.info("in the middle of it")

@worker.function("hoard")
def hoard(job, kept=[]):
    kept.append(bytearray(int(job.workload)))
    return str(os.getpid())

def say(line):
    os.write(1, f"{line}\\n".encode())

@worker.on_start
def start():
    say("start")

@worker.on_start
async def start_loop():
    say("start of a loop")

@worker.on_stop
async def stop_loop():
    say("stop of a loop")

@worker.on_stop
def stop():
    say("stop")

@worker.on_error
def error(job, error):
    say(f"error {job.function} {type(error).__name__}")
"""


@contextmanager
def working(folder: Path, server: RunningServer | JobServer, *options: str) -> Iterator[Process]:
    """`geartrain work`, as soon as one of its workers is there."""
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "geartrain", "work", "app", "--server", f"127.0.0.1:{server.port}"]
    with Process(*command, *options, cwd=folder) as work:
        work.wait_for_output("connected to the job server")
        yield work


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(f"127.0.0.1:{server.port}", timeout=30) as client:
        yield client


def pids(work: Process) -> set[int]:
    """The processes that the supervisor has started so far."""
    return {line["pid"] for line in logged(work, "started a process")}


def logged(work: Process, event: str) -> list[dict[str, Any]]:
    whole = [line for line in work.stderr.splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in map(json.loads, whole) if event in line["event"]]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def results(futures: list[JobFuture[bytes]]) -> list[bytes]:
    return [future.result(30) for future in futures]


def test_jobs_survive_the_kill_of_any_child(tmp_path: Path, server: RunningServer, client: Client) -> None:
    with working(tmp_path, server, "--processes", "2", "--threads", "2") as work:
        futures = [client.submit("nap", b"0.02") for _ in range(60)]
        killed = set()
        for number in range(3):
            futures[number * 15].result(30)
            pid = int(client.run("pid"))
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        assert len(results(futures)) == 60
        wait_until(lambda: not any(map(runs, killed)), "the killed are gone")
        work.signal(signal.SIGTERM)
        assert work.wait() == 0
        assert not any(map(runs, pids(work)))


def test_jobs_survive_the_kill_of_the_server(tmp_path: Path) -> None:
    port = free_port()
    journal = ["--journal", f"sqlite:{tmp_path / 'journal.db'}"]
    with geartrain(*journal, port=port) as server, working(tmp_path, server, "--processes", "2") as work:
        with Client(server.address) as client:
            for _ in range(20):
                client.background("nap", b"0.05")
        server.process.kill()
        with geartrain(*journal, port=port) as again, Client(again.address) as client:
            assert int(client.run("pid", timeout=30)) in pids(work)
            wait_until(lambda: _waiting(again) == 0, "every job was done", 30)


def _waiting(server: JobServer) -> int:
    with server.connect() as peer:
        peer.send_text("status")
        return sum(int(line.split(b"\t")[1]) for line in peer.recv_lines() if b"\t" in line)


def test_a_handler_that_loops_for_ever_is_stopped_at_its_limit(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--processes", "1") as work:
        (first,) = pids(work)
        with pytest.raises(JobException, match=r"the job went past its time limit of 0\.3 s"):
            client.run("spin")
        assert int(client.run("pid")) != first
        assert not runs(first)
        (line,) = logged(work, "went past its time limit")[:1]
        assert line["function"] == "spin"
        assert str(line["stack"]).count("\n") == 1  # the handler alone
        assert "in spin" in str(line["stack"])
        assert "error spin TimeLimitError" in work.stdout


def test_jobs_beside_one_that_is_stopped_finish(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--processes", "1", "--threads", "2") as work:
        (first,) = pids(work)
        beside = client.submit("nap", b"1.5")
        with pytest.raises(JobException):
            client.run("spin")
        assert int(beside.result(30)) == first
        assert int(client.run("pid")) != first


def test_a_handler_that_returns_after_its_limit_does_no_further_harm(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--threads", "2") as work:
        beside = client.submit("nap", b"2")
        with pytest.raises(JobException, match="time limit"):
            client.run("late")
        beside.result(30)
        assert work.wait() == 124
        assert "Traceback" not in work.stderr


def test_a_handler_that_keeps_the_interpreters_lock_is_stopped_with_its_process(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--processes", "1") as work:
        (first,) = pids(work)
        client.submit("hold")
        wait_until(lambda: not runs(first), "the process has ended", 30)
        work.wait_for_output("in hold", 30)  # where it was stuck


@pytest.mark.parametrize("concurrency", ["0", "10"])
def test_the_limits_of_coroutines(
    tmp_path: Path, server: RunningServer, client: Client, concurrency: str
) -> None:
    with working(tmp_path, server, "--processes", "1", "--concurrency", concurrency) as work:
        (first,) = pids(work)
        with pytest.raises(JobException, match="time limit"):
            client.run("sleep_async")
        # It was broken off, and nothing else was harmed.
        assert int(client.run("pid")) == first
        with pytest.raises(JobException, match="time limit"):
            client.run("block_async")
        assert int(client.run("pid")) != first


def test_threads_and_coroutines_do_their_jobs_side_by_side(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--threads", "3", "--concurrency", "30"):
        began = time.monotonic()
        plain = [client.submit("nap", b"0.5") for _ in range(6)]
        coroutines = [client.submit("nap_async", b"0.5") for _ in range(60)]
        assert len(set(results(plain))) == 1  # one process
        assert len(set(results(coroutines))) == 1  # one thread
        # One after the other they would take half a minute.
        assert time.monotonic() - began < 20


def test_a_process_that_has_done_its_jobs_makes_room_for_another(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--processes", "1", "--max-jobs", "5"):
        by = [client.run("pid") for _ in range(15)]
        assert [len(set(by[start : start + 5])) for start in (0, 5, 10)] == [1, 1, 1]
        assert len(set(by)) == 3


def test_a_process_that_holds_too_much_memory_makes_room_for_another(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--processes", "1", "--max-memory", "200M") as work:
        hoard = b"%d" % (64 << 20)
        first = client.run("hoard", hoard)
        while client.run("hoard", hoard) == first:
            pass
        assert logged(work, "more memory than it may")


def test_jobs_that_do_not_finish_within_the_grace_are_given_back(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    job = client.background("nap_async", b"1000")
    for options in ("--processes", "1"), ("--threads", "2"), ("--concurrency", "2"), ():
        with working(tmp_path, server, "--grace", "0.2", *options) as work:
            wait_until(lambda: client.status(job).running, "the job runs")
            work.signal(signal.SIGTERM)
            assert work.wait() == 0
            wait_until(lambda: not client.status(job).running, "it was given back")
            work.wait_for_output("the grace is over")
    assert client.status(job).known


def test_a_signal_that_does_not_end_the_wait_for_the_threads_is_seen_all_the_same(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    # One that comes in the instant before the wait is the same to Python as one that another thread receives.
    (tmp_path / "deaf.py").write_text(
        "import signal, threading\n"
        "from app import worker\n"
        "start = threading.Thread.start\n"
        "def start_and_be_deaf(thread):\n"
        "    start(thread)\n"
        "    if threading.current_thread() is threading.main_thread():\n"
        "        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        "threading.Thread.start = start_and_be_deaf\n"
    )
    (tmp_path / "app.py").write_text(APP)
    command = [sys.executable, "-m", "geartrain", "work", "deaf", "--server", f"127.0.0.1:{server.port}"]
    for options in ("--threads", "2"), ("--concurrency", "2"):
        with Process(*command, *options, cwd=tmp_path) as work:
            work.wait_for_output("connected to the job server")
            client.run("pid")
            work.signal(signal.SIGTERM)
            assert work.wait() == 0


def test_a_second_signal_stops_a_worker_with_threads_at_once(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--threads", "2", "--concurrency", "2") as work:
        jobs = [client.background("nap", b"1000"), client.background("nap_async", b"1000")]
        wait_until(lambda: all(client.status(job).running for job in jobs), "the jobs run")
        work.signal(signal.SIGINT)
        work.wait_for_output("another signal stops at once")
        work.signal(signal.SIGINT)
        assert work.wait() == 130
        wait_until(lambda: not any(client.status(job).running for job in jobs), "they were given back")


TIDY = """
@worker.function("tidy")
async def tidy(job):
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(0.3)
        open("tidied", "w").close()
"""


def test_coroutines_that_a_second_signal_cancels_have_a_moment_to_tidy_up(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    (tmp_path / "app.py").write_text(APP + TIDY)
    command = [sys.executable, "-m", "geartrain", "work", "app", "--server", f"127.0.0.1:{server.port}"]
    with Process(*command, "--concurrency", "2", cwd=tmp_path) as work:
        job = client.background("tidy")
        wait_until(lambda: client.status(job).running, "the job runs")
        work.signal(signal.SIGTERM)
        work.wait_for_output("another signal stops at once")
        work.signal(signal.SIGTERM)
        assert work.wait() == 143
        assert (tmp_path / "tidied").exists()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_shell_command_does_not_outlive_its_worker(
    tmp_path: Path, server: RunningServer, client: Client, threads: str
) -> None:
    shell = ["--shell", "sleep=echo $$ > pid.new; mv pid.new pid; exec sleep 1000", "--threads", threads]
    with working(tmp_path, server, "--grace", "0.2", *shell) as work:
        client.background("sleep")
        work.wait_until((tmp_path / "pid").exists, "the command runs")
        pid = int((tmp_path / "pid").read_text())
        work.signal(signal.SIGTERM)
        assert work.wait() == 0
        wait_until(lambda: not runs(pid), "the command is gone")


def test_an_edit_is_picked_up(tmp_path: Path, server: RunningServer, client: Client) -> None:
    with working(tmp_path, server, "--reload"):
        version = 0

        def edited() -> bool:
            # The first edit may come before anything is watch_time_limit.
            nonlocal version
            version += 1
            (tmp_path / "app.py").write_text(APP.replace("str(os.getpid())", f"'version {version}'", 1))
            return any(client.run("pid").startswith(b"version") for _ in range(3))

        wait_until(edited, "the edit was picked up", 30, interval=1.5)


def test_hooks_are_called_in_each_process_and_on_each_event_loop(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--threads", "2") as work:
        client.run("pid")
        work.signal(signal.SIGTERM)
        assert work.wait() == 0
        said = work.stdout.split("\n")[:-1]
        assert (said[0], said[-1]) == ("start", "stop")
        assert sorted(said[1:-1]) == ["start of a loop"] * 2 + ["stop of a loop"] * 2
    with working(tmp_path, server, "--concurrency", "5", "--threads", "2") as work:
        client.run("pid")
        work.signal(signal.SIGTERM)
        assert work.wait() == 0
        assert work.stdout.split("\n")[:-1] == ["start", "start of a loop", "stop of a loop", "stop"]


def test_a_line_that_a_handler_logs_has_the_job_s_handle(
    tmp_path: Path, server: RunningServer, client: Client
) -> None:
    with working(tmp_path, server, "--log-level", "debug") as work:
        future = client.submit("log")
        future.result(30)
        lines = [
            *logged(work, "job begins"),
            *logged(work, "in the middle of it"),
            *logged(work, "job ended"),
        ]
        assert [(line["function"], line["handle"]) for line in lines] == [("log", future.handle)] * 3
        assert 0 <= lines[2]["seconds"] < 30


def test_an_on_start_hook_that_fails_ends_the_worker(tmp_path: Path, server: RunningServer) -> None:
    (tmp_path / "app.py").write_text(APP + "\n@worker.on_start\ndef fail(): raise OSError('no database')\n")
    command = [sys.executable, "-m", "geartrain", "work", "app", "--server", f"127.0.0.1:{server.port}"]
    for options in ("--threads", "1"), ("--threads", "2"), ("--concurrency", "2"):
        with Process(*command, *options, cwd=tmp_path) as work:
            assert work.wait() == 1
            assert "no database" in work.stderr


def test_a_module_that_cannot_be_imported_ends_the_supervisor(tmp_path: Path) -> None:
    with Process(sys.executable, "-m", "geartrain", "work", "nothing", "-p", "3", cwd=tmp_path) as work:
        assert work.wait() == 2
        assert "there is no module nothing" in work.stderr
