"""Processes that handlers fork: they never speak for the worker, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from geartrain import AsyncClient, Client, Executor, Job, Worker
from geartrain.testing import AsyncEagerClient, EagerClient, LocalServer
from tests.harness.processes import Process, wait_until
from tests.server.running import RunningServer

from .running import working

TASKS = """
    import asyncio, contextlib, multiprocessing, os, sys, time
    from geartrain import Worker

    worker = Worker()

    def forked(job, end):
        pid = os.fork()
        if pid == 0:
            with open(os.environ["FOLDER"] + "/child", "a") as file:
                file.write(f"{os.getpid()}\\n")
            if end == "return":
                return True
            if end == "raise":
                raise ValueError("the child's own")
            if end == "exit":
                sys.exit(3)
            if end == "_exit":
                os._exit(4)
            if end == "data":
                job.data(b"from the child")
            if end == "twice":
                os.fork()
            while True:
                time.sleep(1)
        if end not in ("stay", "twice"):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return 0

    @worker.function
    def plain(job):
        code = forked(job, job.workload.decode())
        return "from the child" if code is True else f"the child's exit code is {code}"

    @worker.function
    async def coroutine(job):
        code = forked(job, job.workload.decode())
        return "from the child" if code is True else f"the child's exit code is {code}"

    @worker.function
    async def awaiting(job):
        pid = os.fork()
        await asyncio.sleep(0)
        if pid == 0:
            return "from the child"
        return f"the child's exit code is {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}"

    def stay():
        with open(os.environ["FOLDER"] + "/child", "a") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(600)

    @worker.function
    def multi(job):
        multiprocessing.get_context("fork").Process(target=stay, daemon=True).start()
        return "started"

    @worker.function
    def terminated(job):
        process = multiprocessing.get_context("fork").Process(target=stay)
        process.start()
        while not os.path.exists(os.environ["FOLDER"] + "/child"):
            time.sleep(0.01)
        process.terminate()
        process.join()
        return str(process.exitcode)

    @worker.function
    def left(job):
        if os.fork() == 0:
            with open(os.environ["FOLDER"] + "/child", "a") as file:
                file.write(f"{os.getpid()}\\n")
        return "done"

    @worker.function
    def pid(job):
        return str(os.getpid())
"""

MODES = {
    "one loop": [],
    "threads": ["--threads", "3"],
    "coroutines": ["--concurrency", "5"],
    "processes": ["--processes", "1"],
}
ENDS = {"return": 0, "raise": 1, "exit": 3, "_exit": 4, "data": 1}


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


def work(server: RunningServer, folder: Path, *arguments: str) -> Process:
    (folder / "tasks.py").write_text(textwrap.dedent(TASKS))
    address = f"127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "geartrain", "work", "tasks", "--server", address]
    return Process(*command, *arguments, env={"FOLDER": str(folder)}, cwd=folder)


def children(folder: Path) -> list[int]:
    path = folder / "child"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def runs(pid: int) -> bool:
    """Whether a process is there, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def works(pid: int) -> bool:
    """Whether a process is there that is no zombie, which nobody may reap where we run."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("function", ["plain", "coroutine"])
@pytest.mark.parametrize("mode", MODES)
def test_a_forked_child_ends_as_its_handler_does_and_the_job_is_its_parents(
    server: RunningServer, tmp_path: Path, mode: str, function: str
) -> None:
    with (
        work(server, tmp_path, *MODES[mode]),
        Client(f"127.0.0.1:{server.port}", timeout=20) as client,
    ):
        for end, code in ENDS.items():
            assert client.run(function, end.encode()).decode() == f"the child's exit code is {code}"
        pids = {client.run("pid") for _ in range(5)}
        assert len(pids) == 1
        wait_until(lambda: not any(map(runs, children(tmp_path))), "no child was left")


@pytest.mark.parametrize("mode", ["one loop", "coroutines"])
def test_a_child_of_a_coroutine_ends_where_it_would_wait(
    server: RunningServer, tmp_path: Path, mode: str
) -> None:
    with (
        work(server, tmp_path, *MODES[mode]),
        Client(f"127.0.0.1:{server.port}", timeout=20) as client,
    ):
        assert client.run("awaiting").decode() == "the child's exit code is 1"
        assert client.run("awaiting").decode() == "the child's exit code is 1"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("job", ["stay", "twice", "multi"])
def test_no_forked_child_outlives_its_worker(
    server: RunningServer, tmp_path: Path, mode: str, how: signal.Signals, job: str
) -> None:
    with (
        work(server, tmp_path, *MODES[mode]) as process,
        Client(f"127.0.0.1:{server.port}", timeout=20) as client,
    ):
        if job == "multi":
            client.run("multi")
        else:
            client.run("plain", job.encode())
        wait_until(lambda: children(tmp_path), "the child ran")
        process.signal(how)
        process.wait()
        wait_until(lambda: not any(map(works, children(tmp_path))), "no child was left")


def test_a_child_of_multiprocessing_can_be_terminated(server: RunningServer, tmp_path: Path) -> None:
    with work(server, tmp_path), Client(f"127.0.0.1:{server.port}", timeout=20) as client:
        assert client.run("terminated") == b"-15"


def test_a_child_that_no_handler_waits_for_is_reaped(server: RunningServer, tmp_path: Path) -> None:
    with work(server, tmp_path), Client(f"127.0.0.1:{server.port}", timeout=20) as client:
        assert client.run("left") == b"done"
        wait_until(lambda: children(tmp_path), "the child ran")
        wait_until(lambda: not any(map(runs, children(tmp_path))), "it was reaped")


def forks_and_returns(job: Job) -> str:
    pid = os.fork()
    if pid == 0:
        return "from the child"
    return f"exit code {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}"


async def forks_in_a_coroutine(job: Job) -> str:
    return forks_and_returns(job)


def test_a_forked_child_ends_with_its_handler_in_the_testing_server() -> None:
    worker = Worker()
    worker.register("f", forks_and_returns)
    worker.register("g", forks_in_a_coroutine)
    with LocalServer() as server:
        server.work(worker)
        with Client(server.address, timeout=10) as client:
            assert [client.run(name) for name in ("f", "g", "f")] == [b"exit code 0"] * 3


KEEPS_NO_PORT = """
import os, socket
from geartrain import Client, Worker
from geartrain.testing import LocalServer

reader, writer = os.pipe()
worker = Worker()

@worker.function("stay")
def stay(job):
    pid = os.fork()
    if pid == 0:
        os.read(reader, 1)
        os._exit(0)
    return str(pid)

with LocalServer() as server:
    host, _, port = server.address.rpartition(":")
    server.work(worker)
    with Client(server.address, timeout=10) as client:
        pid = int(client.run("stay"))
with socket.create_server((host, int(port))):
    print(f"the child is {pid} .", flush=True)
os.read(reader, 1)
"""


def test_a_child_keeps_no_port_of_the_testing_server() -> None:
    # In a process of its own: a forked child ends with the last worker of its process.
    with Process(sys.executable, "-c", KEEPS_NO_PORT) as process:
        process.wait_for_output(" .")
        pid = int(process.stdout.partition("the child is ")[2].split()[0])
        wait_until(lambda: not works(pid), "the child ended with the server")
        process.kill()


def test_a_forked_child_ends_with_its_handler_in_an_eager_client() -> None:
    worker = Worker()
    worker.register("f", forks_and_returns)
    worker.register("g", forks_in_a_coroutine)
    with EagerClient(worker) as client:
        assert [client.run(name) for name in ("f", "g")] == [b"exit code 0"] * 2

    async def main() -> list[bytes]:
        async with AsyncEagerClient(worker) as client:
            return [await client.run(name) for name in ("f", "g")]

    assert asyncio.run(main()) == [b"exit code 0"] * 2


def test_a_fork_elsewhere_in_the_program_leaves_the_worker_its_connections(server: RunningServer) -> None:
    address = f"127.0.0.1:{server.port}"
    worker = Worker(address)
    worker.register("f", lambda job: b"done")
    with working(worker), Client(address, timeout=10) as client:
        assert client.run("f") == b"done"
        pid = os.fork()
        if pid == 0:
            worker.stop()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert client.run("f") == b"done"


def in_a_child(act: object) -> int:
    assert callable(act)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(20)
            code = 0 if act() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_clients_of_all_kinds_go_on_in_a_forked_child_and_in_its_parent(server: RunningServer) -> None:
    address = f"127.0.0.1:{server.port}"
    worker = Worker(address)
    worker.register("echo", lambda job: job.workload)
    with working(worker):
        with Client(address, timeout=10) as client, Executor(address) as pool:
            assert client.run("echo", b"1") == b"1"
            assert pool.function("echo").submit(b"2").result(10) == b"2"
            assert in_a_child(lambda: client.run("echo", b"3") == b"3") == 0
            assert in_a_child(lambda: pool.function("echo").submit(b"4").result(10) == b"4") == 0
            assert client.run("echo", b"5") == b"5"
            assert pool.function("echo").submit(b"6").result(10) == b"6"

        async def main() -> None:
            async with AsyncClient(address, timeout=10) as client:
                assert await client.run("echo", b"1") == b"1"
                code: list[int] = []

                def child() -> bool:
                    return asyncio.run(client.run("echo", b"2")) == b"2"

                # On a thread of its own: this one has a running event loop, also in a child.
                thread = threading.Thread(target=lambda: code.append(in_a_child(child)))
                thread.start()
                await asyncio.to_thread(thread.join)
                assert code == [0]
                assert await client.run("echo", b"3") == b"3"

        asyncio.run(main())
