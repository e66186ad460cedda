"""What becomes of jobs whose worker or clients are gone."""

from __future__ import annotations

from tests.harness.rawwire import Packet, RawPeer

from .conftest import Connect
from .text import function_status


def test_a_job_returns_to_the_queue_when_its_worker_disconnects(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function, b"workload")
    other = connect()
    other.can_do(function)
    other.grab()
    other.leave(client)
    assert function_status(client, function) == (1, 0, 0)
    worker.can_do(function)
    job = worker.grab()
    assert (job.handle, job.workload) == (handle, b"workload")
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    client.expect_nothing()


def test_a_background_job_returns_as_well(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    other = connect()
    other.can_do(function)
    other.grab()
    other.leave(client)
    worker.can_do(function)
    assert worker.grab().handle == handle


def test_a_returned_job_is_the_next_to_be_grabbed(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handles = [client.submit(function, number) for number in range(3)]
    other = connect()
    other.can_do(function)
    other.grab()
    other.leave(client)
    worker.can_do(function)
    assert [worker.grab().handle for _ in handles] == handles


def test_several_returned_jobs_keep_their_order(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handles = [client.submit(function, number) for number in range(4)]
    other = connect()
    other.can_do(function)
    for _ in range(3):
        other.grab()
    other.leave(client)
    worker.can_do(function)
    assert [worker.grab().handle for _ in handles] == handles


def test_a_returned_job_keeps_its_priority(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    low = client.submit(function, type=Packet.SUBMIT_JOB_LOW)
    other = connect()
    other.can_do(function)
    other.grab()
    normal = client.submit(function)
    other.leave(client)
    worker.can_do(function)
    assert [worker.grab().handle, worker.grab().handle] == [normal, low]


def test_a_queued_foreground_job_is_dropped_with_its_last_client(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    first, second = connect(), connect()
    first.submit(function, unique="unique")
    second.submit(function, unique="unique")
    first.leave(client)
    second.leave(client)
    worker.can_do(function)
    worker.grab_nothing()


def test_a_queued_foreground_job_stays_while_one_client_waits(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    other = connect()
    handle = other.submit(function, unique="unique")
    client.submit(function, unique="unique")
    other.leave(worker)
    worker.can_do(function)
    worker.grab()
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")


def test_a_dropped_job_is_forgotten(connect: Connect, client: RawPeer, function: str) -> None:
    other = connect()
    handle = other.submit(function)
    other.leave(client)
    assert client.status(handle).known == b"0"
    assert function_status(client, function) == (0, 0, 0)


def test_a_submission_with_the_unique_of_a_dropped_job_is_run(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    other = connect()
    other.submit(function, unique="unique")
    other.leave(client)
    handle = client.submit(function, unique="unique")
    worker.can_do(function)
    assert worker.grab().handle == handle
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")


def test_a_queued_background_job_outlives_its_client(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    other = connect()
    handle = other.submit(function, type=Packet.SUBMIT_JOB_BG)
    other.leave(client)
    worker.can_do(function)
    assert worker.grab().handle == handle


def test_a_running_job_goes_on_without_its_client(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    other = connect()
    handle = other.submit(function)
    worker.can_do(function)
    worker.grab()
    other.leave(client)
    assert client.status(handle).running == b"1"
    worker.send(Packet.WORK_STATUS, handle, 1, 2)
    worker.send(Packet.WORK_COMPLETE, handle, b"result")
    worker.expect_nothing()
    assert client.status(handle).known == b"0"


def test_a_job_without_client_and_worker_is_dropped(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    submitter, first = connect(), connect()
    submitter.submit(function)
    first.can_do(function)
    first.grab()
    submitter.leave(client)
    first.leave(client)
    worker.can_do(function)
    worker.grab_nothing()
