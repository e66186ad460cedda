"""The options that change how jobs are handed out, each on a server of its own."""

from __future__ import annotations

import pytest

from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import SERVERS


@pytest.fixture(params=["geartrain", "gearmand-c"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of job server that have these options."""
    return str(request.param)


def test_round_robin_serves_the_functions_of_a_worker_in_turn(kind: str) -> None:
    with SERVERS[kind]("--round-robin") as server, server.connect() as client, server.connect() as worker:
        for function in "abc":
            for number in (1, 2, 3):
                client.submit(function, f"{function}{number}", type=Packet.SUBMIT_JOB_BG)
        worker.can_do("a", "b", "c")
        served = []
        for _ in range(9):
            job = worker.grab()
            served.append(job.workload.decode())
            worker.complete(job.handle)
        assert served == ["c1", "b1", "a1", "c2", "b2", "a2", "c3", "b3", "a3"]


@pytest.mark.parametrize("wakeup", [1, 2, 3])
def test_worker_wakeup_wakes_so_many_workers(kind: str, wakeup: int) -> None:
    with SERVERS[kind](f"--worker-wakeup={wakeup}") as server, server.connect() as client:
        workers = [server.connect() for _ in range(5)]
        for worker in workers:
            worker.can_do("f")
            worker.send(Packet.PRE_SLEEP)
            worker.sync()
        client.submit("f")
        client.sync()
        assert sum(map(_was_woken, workers)) == wakeup
        for worker in workers:
            worker.close()


def test_a_worker_wakeup_of_zero_wakes_all(kind: str) -> None:
    with SERVERS[kind]("--worker-wakeup=0") as server, server.connect() as client:
        workers = [server.connect() for _ in range(5)]
        for worker in workers:
            worker.can_do("f")
            worker.send(Packet.PRE_SLEEP)
            worker.sync()
        client.submit("f")
        for worker in workers:
            worker.expect(Packet.NOOP)
            worker.close()


def _was_woken(worker: RawPeer) -> bool:
    worker.send(Packet.ECHO_REQ, "any news?")
    packet = worker.recv()
    if packet.type == Packet.NOOP:
        worker.expect(Packet.ECHO_RES)
        return True
    return False


@pytest.mark.parametrize("retries", [1, 2])
@pytest.mark.parametrize("form", [Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_BG], ids=["foreground", "background"])
def test_job_retries_bounds_the_attempts_of_a_job(kind: str, retries: int, form: Packet) -> None:
    with (
        SERVERS[kind](f"--job-retries={retries}") as server,
        server.connect() as client,
        server.connect() as observer,
    ):
        handle = client.submit("f", type=form)
        for _ in range(retries):
            worker = server.connect()
            worker.can_do("f")
            assert worker.grab().handle == handle
            worker.leave(observer)
        if form == Packet.SUBMIT_JOB:
            client.expect(Packet.WORK_FAIL, handle)
        wait_until(lambda: client.status(handle).known == b"0", "the job is given up")


def test_exceptions_go_to_every_client(kind: str) -> None:
    option = "--set=exceptions=true" if kind == "geartrain" else "--exceptions"
    with SERVERS[kind](option) as server, server.connect() as client, server.connect() as worker:
        handle = client.submit("f")
        worker.can_do("f")
        worker.grab()
        worker.send(Packet.WORK_EXCEPTION, handle, "why")
        client.expect(Packet.WORK_EXCEPTION, handle, "why")


def test_the_job_handle_prefix_begins_every_handle(kind: str) -> None:
    option = "--set=handle_prefix=X:y" if kind == "geartrain" else "--job-handle-prefix=X:y"
    with SERVERS[kind](option) as server, server.connect() as client:
        handle = client.submit("f")
        assert handle.startswith(b"X:y:")
        assert client.status(handle).known == b"1"
