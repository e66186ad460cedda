"""Workers and real job servers: jobs, functions that come and go, and more than one thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from geartrain import Job, Worker
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import SERVERS
from tests.server.running import RunningServer

from .running import ScriptedServer, abilities, working


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[RawPeer]:
    with server.connect() as client:
        yield client


@pytest.fixture
def worker(server: RunningServer) -> Iterator[Worker]:
    with Worker(f"127.0.0.1:{server.port}") as worker:
        yield worker


def ask(client: RawPeer, function: str, workload: bytes = b"", unique: str = "") -> bytes:
    """Submit a job that must complete, and wait for its result."""
    client.submit(function, workload, unique=unique)
    return client.expect(Packet.WORK_COMPLETE)[1]


@pytest.mark.parametrize("kind", SERVERS)
def test_every_job_server_s_jobs_are_done(kind: str) -> None:
    with SERVERS[kind]() as server, server.connect() as client:
        worker = Worker(server.address)

        @worker.function("reverse")
        def reverse(job: Job) -> bytes:
            return job.workload[::-1]

        @worker.function("describe", timeout=30)
        async def describe(job: Job) -> str:
            await asyncio.sleep(0)
            return f"{job.handle} {job.function} {job.unique}"

        with working(worker):
            for workload in (b"hello", b"", b"a\0b", bytes(300_000) + b"x"):
                assert ask(client, "reverse", workload) == workload[::-1]
            handle = client.submit("describe", unique="u").decode()
            unique = "" if kind == "gearmand-perl" else "u"
            client.expect(Packet.WORK_COMPLETE, handle, f"{handle} describe {unique}")


def test_a_reduce_job_comes_with_its_reducer(client: RawPeer, worker: Worker) -> None:
    worker.register("map", lambda job: f"{job.reducer} {job.unique} {job.workload.decode()}")
    client.send(Packet.SUBMIT_REDUCE_JOB, "map", "u", "sum", "0", "1 2 3")
    client.expect(Packet.JOB_CREATED)
    assert worker.work_one(10)
    assert client.expect(Packet.WORK_COMPLETE)[1] == b"sum u 1 2 3"


def test_jobs_that_wait_are_done_in_a_row_and_lone_ones_as_they_come(client: RawPeer, worker: Worker) -> None:
    worker.register("echo", lambda job: job.workload)
    with working(worker):
        for round in range(3):
            for number in range(50):
                client.submit("echo", b"%d" % number, type=Packet.SUBMIT_JOB_BG)
            for number in range(20):
                assert ask(client, "echo", b"%d.%d" % (round, number)) == b"%d.%d" % (round, number)


def test_work_one_does_one_job_and_no_more(client: RawPeer, worker: Worker) -> None:
    worker.register("echo", lambda job: job.workload)
    handles = [client.submit("echo", b"%d" % number) for number in range(2)]
    assert worker.work_one()
    client.expect(Packet.WORK_COMPLETE, handles[0], "0")
    assert client.status(handles[1]).running == b"0"
    assert worker.work_one(10)
    client.expect(Packet.WORK_COMPLETE, handles[1], "1")


def test_work_one_says_when_no_job_came(client: RawPeer, worker: Worker) -> None:
    worker.register("echo", lambda job: job.workload)
    assert not worker.work_one(0.05)
    client.submit("echo", b"x")
    assert worker.work_one(10)
    assert not worker.work_one(0)


def test_work_one_gives_a_job_back_that_was_interrupted(server: RunningServer, client: RawPeer) -> None:
    def interrupted(job: Job) -> None:
        raise KeyboardInterrupt

    with Worker(f"127.0.0.1:{server.port}") as worker:
        worker.register("echo", interrupted)
        client.submit("echo", b"x")
        with pytest.raises(KeyboardInterrupt):
            worker.work_one(10)
        worker.register("echo", lambda job: job.workload)
        assert worker.work_one(10)
        assert client.expect(Packet.WORK_COMPLETE)[1] == b"x"


def test_run_ends_after_max_jobs_and_leaves_the_rest(client: RawPeer, worker: Worker) -> None:
    worker.register("echo", lambda job: job.workload)
    handles = [client.submit("echo", b"%d" % number) for number in range(5)]
    assert worker.run(max_jobs=3) == 3
    for number in range(3):
        client.expect(Packet.WORK_COMPLETE, handles[number], number)
    assert client.status(handles[3]).running == b"0"
    assert worker.run(max_jobs=0) == 0


def test_coroutines_share_a_loop_but_no_context(client: RawPeer, worker: Worker) -> None:
    loops = set()
    current: ContextVar[bytes] = ContextVar("current", default=b"nothing")

    @worker.function("remember")
    async def remember(job: Job) -> bytes:
        loops.add(asyncio.get_running_loop())
        before = current.get()
        current.set(job.workload)
        return before

    with working(worker):
        assert [ask(client, "remember", b"%d" % number) for number in range(3)] == [b"nothing"] * 3
    assert len(loops) == 1


def test_the_same_worker_runs_in_several_threads(client: RawPeer, worker: Worker) -> None:
    both = threading.Barrier(2)

    @worker.function("meet")
    def meet(job: Job) -> bytes:
        both.wait(10)
        return job.workload

    with working(worker), working(worker):
        client.submit("meet", b"1")
        client.submit("meet", b"2")
        results = {client.expect(Packet.WORK_COMPLETE)[1] for _ in range(2)}
    assert results == {b"1", b"2"}


# FunctionRegistry


def test_functions_come_and_go_while_the_worker_runs(
    server: RunningServer, client: RawPeer, worker: Worker
) -> None:
    worker.register("first", lambda job: "1")
    with working(worker):
        assert ask(client, "first") == b"1"
        handle = client.submit("second")
        worker.register("second", lambda job: "2")
        client.expect(Packet.WORK_COMPLETE, handle, "2")
        worker.unregister("first")
        wait_until(lambda: abilities(server) == [b"second"], "the first function is withdrawn")
        worker.register("second", lambda job: "two")
        assert ask(client, "second") == b"two"


@pytest.mark.parametrize("kind", ["geartrain", "gearmand-c"])
def test_a_handler_may_register_and_unregister(kind: str) -> None:
    with SERVERS[kind]() as server, server.connect() as client:
        worker = Worker(server.address)

        @worker.function("swap")
        def swap(job: Job) -> None:
            worker.unregister("swap")
            worker.register("swapped", lambda job: "done")

        with working(worker):
            # It waits before anybody can do it, and the worker sleeps when it is told.
            handle = client.submit("swapped")
            client.submit("swap")
            client.expect(Packet.WORK_COMPLETE)
            client.expect(Packet.WORK_COMPLETE, handle, "done")
            assert abilities(server) == [b"swapped"]


def test_a_job_that_was_assigned_while_its_function_went_is_done() -> None:
    with ScriptedServer() as server:
        worker = Worker(server.address)
        worker.register("echo", lambda job: job.workload)
        with working(worker):
            end = server.accept()
            end.greet()
            end.send(Packet.NOOP)
            end.expect(Packet.GRAB_JOB_ALL)
            worker.unregister("echo")
            end.send(Packet.JOB_ASSIGN_UNIQ, "H:1", "echo", "", "x")
            assert end.expect(Packet.WORK_COMPLETE, Packet.CANT_DO) == [(b"H:1", b"x"), (b"echo",)]
            end.expect(Packet.GRAB_JOB_ALL)
            end.send(Packet.NO_JOB)


def test_a_job_of_a_function_that_was_never_announced_fails() -> None:
    with ScriptedServer() as server:
        worker = Worker(server.address)
        worker.register("echo", lambda job: job.workload)
        with working(worker):
            end = server.accept()
            end.greet()
            end.assign("other")
            end.expect(Packet.WORK_FAIL, Packet.GRAB_JOB_ALL)
            end.send(Packet.NO_JOB)


def test_a_prefix_goes_before_every_name_on_the_wire_and_nowhere_else(
    server: RunningServer, client: RawPeer
) -> None:
    with Worker(f"127.0.0.1:{server.port}", prefix="test") as worker:
        worker.register("sleep", lambda job: job.function)
        client.submit("test\tsleep")
        assert worker.work_one(10)
        assert client.expect(Packet.WORK_COMPLETE)[1] == b"sleep"
        worker.unregister("sleep")


def test_a_time_out_is_told_in_milliseconds() -> None:
    with ScriptedServer() as server:
        worker = Worker(server.address)
        worker.register("slow", lambda job: None, timeout=2.5)
        with working(worker):
            end = server.accept()
            assert end.expect(Packet.SET_CLIENT_ID, Packet.CAN_DO_TIMEOUT)[1] == (b"slow", b"2500")


@pytest.mark.parametrize("client_id", ["", "me"])
def test_the_server_lists_the_worker_by_its_id(server: RunningServer, client_id: str) -> None:
    with Worker(f"127.0.0.1:{server.port}", client_id=client_id) as worker, server.connect() as asker:
        worker.register("f", lambda job: None)
        with working(worker):
            wait_until(lambda: abilities(server) == [b"f"], "the worker is there")
            asker.send_text("workers")
            (line,) = [line for line in asker.recv_lines() if line.endswith(b": f")]
            if client_id:
                assert line.split(b" ")[2] == b"me"
            else:
                assert line.split(b" ")[2].rpartition(b"-")[2].isdigit()


def test_what_cannot_work_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="none is given"):
        Worker([])
    with pytest.raises(ValueError, match="port must be a number"):
        Worker("localhost:gearman")
    with pytest.raises(ValueError, match="may not hold spaces"):
        Worker(client_id="two words")
    worker = Worker()
    with pytest.raises(KeyError, match="reverse"):
        worker.unregister("reverse")
    with pytest.raises(ValueError, match="needs a name"):
        worker.register("", print)
    with pytest.raises(ValueError, match="NUL"):
        worker.register("a\0b", print)
    with pytest.raises(TypeError, match="not callable"):
        worker.register("reverse", b"reverse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positive number of seconds"):
        worker.register("reverse", print, timeout=0)
    with pytest.raises(ValueError, match="number of jobs"):
        worker.run(max_jobs=-1)
