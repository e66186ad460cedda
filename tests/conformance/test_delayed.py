"""Jobs for later: SUBMIT_JOB_EPOCH and SUBMIT_JOB_SCHED."""

from __future__ import annotations

import time

from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer

from .text import function_status


def _soon() -> int:
    """A whole second, one to two from now."""
    return int(time.time()) + 2


def _submit_epoch(client: RawPeer, function: str, epoch: int, unique: str = "") -> bytes:
    client.send(Packet.SUBMIT_JOB_EPOCH, function, unique, epoch, b"work\0load")
    return client.expect(Packet.JOB_CREATED)[0]


def test_a_job_for_the_past_is_assigned_at_once(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    worker.send(Packet.PRE_SLEEP)
    worker.sync()
    handle = _submit_epoch(client, function, int(time.time()) - 60)
    worker.expect(Packet.NOOP)
    job = worker.grab()
    assert (job.handle, job.workload) == (handle, b"work\0load")
    worker.complete(handle, b"result")
    client.expect_nothing()


def test_a_job_is_not_assigned_before_its_time(client: RawPeer, worker: RawPeer, function: str) -> None:
    due = _soon()
    handle = _submit_epoch(client, function, due)
    worker.can_do(function)
    worker.grab_nothing()
    assert client.status(handle).known == b"1"

    def assigned() -> bool:
        worker.send(Packet.GRAB_JOB)
        return worker.recv().type == Packet.JOB_ASSIGN

    wait_until(assigned, "the job is assigned", timeout=5)
    assert time.time() >= due - 0.01
    assert time.time() < due + 1.5


def test_a_job_that_is_not_due_wakes_nobody(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    worker.send(Packet.PRE_SLEEP)
    worker.sync()
    _submit_epoch(client, function, int(time.time()) + 3600)
    worker.expect_nothing()


def test_a_job_that_falls_due_wakes_a_sleeping_worker(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    due = _soon()
    handle = _submit_epoch(client, function, due)
    worker.can_do(function)
    worker.grab_nothing()
    worker.send(Packet.PRE_SLEEP)
    worker.expect_nothing()
    worker.expect(Packet.NOOP, timeout=due + 1 - time.time())
    assert time.time() >= due - 0.01
    assert worker.grab().handle == handle


def test_a_job_that_is_not_due_lets_others_pass(client: RawPeer, worker: RawPeer, function: str) -> None:
    _submit_epoch(client, function, int(time.time()) + 3600)
    handle = client.submit(function)
    worker.can_do(function)
    assert worker.grab().handle == handle
    worker.grab_nothing()


def test_a_worker_sleeps_beside_a_job_that_is_not_due(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    _submit_epoch(client, function, int(time.time()) + 3600)
    worker.can_do(function)
    worker.send(Packet.PRE_SLEEP)
    worker.expect_nothing()


def test_a_job_that_is_not_due_counts_as_queued(client: RawPeer, function: str) -> None:
    _submit_epoch(client, function, int(time.time()) + 3600)
    assert function_status(client, function) == (1, 0, 0)


def test_a_job_that_is_not_due_coalesces(client: RawPeer, function: str) -> None:
    handle = _submit_epoch(client, function, int(time.time()) + 3600, unique="unique")
    assert client.submit(function, unique="unique", type=Packet.SUBMIT_JOB_BG) == handle
    assert _submit_epoch(client, function, int(time.time()) + 7200, unique="unique") == handle


def test_a_job_by_the_calendar_is_queued(client: RawPeer, worker: RawPeer, function: str) -> None:
    day = time.gmtime(time.time() - 3 * 86400)
    date = (str(day.tm_mday), str(day.tm_mon))
    client.send(Packet.SUBMIT_JOB_SCHED, function, "unique", "0", "12", *date, "", b"workload")
    handle = client.expect(Packet.JOB_CREATED, ...)[0]
    worker.can_do(function)
    worker.grab_nothing()
    assert client.status(handle).known == b"1"
