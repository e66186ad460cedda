"""Uniques: submissions that share one job, and who gets its events."""

from __future__ import annotations

import pytest

from tests.harness.rawwire import Packet, RawPeer

from .conftest import Connect


def test_submissions_with_one_unique_share_a_job(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    other = connect()
    handle = client.submit(function, b"first", unique="unique")
    assert other.submit(function, b"second", unique="unique") == handle
    worker.can_do(function)
    assert worker.grab().workload == b"first"
    worker.grab_nothing()
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    other.expect(Packet.WORK_COMPLETE, handle, b"result")


def test_a_running_job_is_shared_too(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function, unique="unique")
    worker.can_do(function)
    worker.grab()
    other = connect()
    assert other.submit(function, unique="unique") == handle
    worker.grab_nothing()
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    other.expect(Packet.WORK_COMPLETE, handle, b"result")


def test_a_job_that_ended_is_not_shared(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function, unique="unique")
    worker.can_do(function)
    worker.grab()
    worker.complete(handle)
    client.expect(Packet.WORK_COMPLETE, handle, b"")
    assert client.submit(function, unique="unique") != handle
    worker.grab()


def test_uniques_are_per_function(client: RawPeer, function: str) -> None:
    handle = client.submit(function, unique="unique")
    assert client.submit(function + "-other", unique="unique") != handle


def test_an_empty_unique_never_coalesces(client: RawPeer, worker: RawPeer, function: str) -> None:
    first = client.submit(function, b"workload")
    second = client.submit(function, b"workload")
    assert first != second
    worker.can_do(function)
    assert [worker.grab().handle, worker.grab().handle] == [first, second]


def test_a_dash_makes_the_workload_the_unique(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function, b"same\0workload", unique="-")
    assert client.submit(function, b"same\0workload", unique="-") == handle
    other = client.submit(function, b"same\0workloae", unique="-")
    assert other != handle
    worker.can_do(function)
    assert [worker.grab().handle, worker.grab().handle] == [handle, other]
    worker.grab_nothing()


def test_a_dash_with_an_empty_workload_never_coalesces(client: RawPeer, function: str) -> None:
    assert client.submit(function, unique="-") != client.submit(function, unique="-")


def test_a_workload_as_unique_is_no_unique_of_the_same_text(client: RawPeer, function: str) -> None:
    handle = client.submit(function, b"text", unique="-")
    assert client.submit(function, b"text", unique="text") != handle


def test_a_client_that_submits_twice_is_told_twice(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function, unique="unique")
    assert client.submit(function, unique="unique") == handle
    worker.can_do(function)
    worker.grab()
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    client.expect_nothing()


def test_a_background_submission_attaches_without_events(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    background = connect()
    handle = client.submit(function, unique="unique")
    assert background.submit(function, unique="unique", type=Packet.SUBMIT_JOB_BG) == handle
    worker.can_do(function)
    worker.grab()
    worker.grab_nothing()
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    background.expect_nothing()


def test_a_foreground_submission_attaches_to_a_background_job(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    background = connect()
    handle = background.submit(function, unique="unique", type=Packet.SUBMIT_JOB_BG)
    assert client.submit(function, unique="unique") == handle
    worker.can_do(function)
    worker.grab()
    worker.send(Packet.WORK_STATUS, handle, 1, 2)
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_STATUS, handle, 1, 2)
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    background.expect_nothing()


def test_a_background_submission_keeps_the_job_it_attached_to(
    connect: Connect, worker: RawPeer, function: str
) -> None:
    client, background = connect(), connect()
    handle = client.submit(function, unique="unique")
    assert background.submit(function, unique="unique", type=Packet.SUBMIT_JOB_BG) == handle
    client.leave(background)
    worker.can_do(function)
    assert worker.grab().handle == handle


@pytest.mark.parametrize("packet", [Packet.SUBMIT_JOB_HIGH, Packet.SUBMIT_JOB_LOW], ids=lambda p: p.name)
def test_a_submission_of_another_priority_attaches(
    client: RawPeer, worker: RawPeer, function: str, packet: Packet
) -> None:
    handle = client.submit(function, unique="unique")
    assert client.submit(function, unique="unique", type=packet) == handle
    worker.can_do(function)
    assert worker.grab().handle == handle
    worker.grab_nothing()
