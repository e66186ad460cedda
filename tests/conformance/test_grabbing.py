"""Grabbing: what the three GRAB_JOB packets are answered with, and from which function a job comes."""

from __future__ import annotations

import pytest

from tests.harness.rawwire import Packet, RawPeer

GRABS = [Packet.GRAB_JOB, Packet.GRAB_JOB_UNIQ, Packet.GRAB_JOB_ALL]


@pytest.mark.parametrize("grab", GRABS, ids=lambda packet: packet.name)
def test_no_job_without_abilities(client: RawPeer, worker: RawPeer, function: str, grab: Packet) -> None:
    client.submit(function)
    worker.send(grab)
    worker.expect(Packet.NO_JOB)


@pytest.mark.parametrize("grab", GRABS, ids=lambda packet: packet.name)
def test_no_job_without_jobs(worker: RawPeer, function: str, grab: Packet) -> None:
    worker.can_do(function)
    worker.send(grab)
    worker.expect(Packet.NO_JOB)


def test_grab_job_assigns_without_the_unique(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function, b"work\0load", unique="unique")
    worker.can_do(function)
    worker.send(Packet.GRAB_JOB)
    worker.expect(Packet.JOB_ASSIGN, handle, function, b"work\0load")


@pytest.mark.parametrize("unique", ["unique", "", "-"])
@pytest.mark.parametrize("grab", [Packet.GRAB_JOB_UNIQ, Packet.GRAB_JOB_ALL], ids=lambda packet: packet.name)
def test_the_other_grabs_assign_with_the_unique(
    client: RawPeer, worker: RawPeer, function: str, grab: Packet, unique: str
) -> None:
    handle = client.submit(function, b"work\0load", unique=unique)
    worker.can_do(function)
    worker.send(grab)
    worker.expect(Packet.JOB_ASSIGN_UNIQ, handle, function, unique, b"work\0load")


def test_a_worker_may_run_several_jobs_at_once(client: RawPeer, worker: RawPeer, function: str) -> None:
    first, second = client.submit(function, b"1"), client.submit(function, b"2")
    worker.can_do(function)
    assert [worker.grab().handle, worker.grab().handle] == [first, second]
    worker.complete(second, b"two")
    client.expect(Packet.WORK_COMPLETE, second, b"two")
    worker.complete(first, b"one")
    client.expect(Packet.WORK_COMPLETE, first, b"one")


def test_the_newest_ability_is_served_first(client: RawPeer, worker: RawPeer, function: str) -> None:
    names = [f"{function}-{number}" for number in range(8)]
    worker.can_do(*names)
    for name in names * 2:
        client.submit(name)
    order = [worker.grab().function.decode() for _ in names * 2]
    assert order == [name for name in reversed(names) for _ in range(2)]


def test_priorities_hold_over_all_functions_of_a_worker(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    older, newer = function + "-f", function + "-g"
    worker.can_do(older, newer)
    for name in (older, newer):
        client.submit(name, b"low", type=Packet.SUBMIT_JOB_LOW)
        client.submit(name, b"normal")
        client.submit(name, b"high", type=Packet.SUBMIT_JOB_HIGH)
    grabbed = [worker.grab() for _ in range(6)]
    order = [(job.function.decode(), job.workload) for job in grabbed]
    assert order == [(name, priority) for priority in (b"high", b"normal", b"low") for name in (newer, older)]


def test_two_workers_never_get_the_same_job(client: RawPeer, worker: RawPeer, function: str) -> None:
    handles = [client.submit(function, number) for number in range(10)]
    client.can_do(function)
    worker.can_do(function)
    grabbed = [peer.grab().handle for _ in range(5) for peer in (client, worker)]
    assert grabbed == handles
    client.grab_nothing()
    worker.grab_nothing()


def test_one_connection_may_be_client_and_worker(client: RawPeer, function: str) -> None:
    client.can_do(function)
    handle = client.submit(function, b"workload")
    assert client.grab().handle == handle
    client.send(Packet.WORK_COMPLETE, handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    client.expect_nothing()
