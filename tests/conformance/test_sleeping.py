"""Sleeping workers: who is woken, when, and how many."""

from __future__ import annotations

import select
import time

import pytest

from tests.harness.rawwire import Packet, RawPeer

from .conftest import Connect
from .test_submitting import FORMS


def test_a_sleeping_worker_is_woken_when_work_comes(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    worker.send(Packet.PRE_SLEEP)
    worker.expect_nothing()
    handle = client.submit(function)
    worker.expect(Packet.NOOP)
    assert worker.grab().handle == handle


@pytest.mark.parametrize("form", FORMS, ids=lambda packet: packet.name)
def test_every_form_of_submission_wakes(
    client: RawPeer, worker: RawPeer, function: str, form: Packet
) -> None:
    worker.can_do(function)
    worker.send(Packet.PRE_SLEEP)
    worker.sync()
    client.submit(function, type=form)
    worker.expect(Packet.NOOP)
    worker.grab()


def test_a_worker_does_not_sleep_while_work_waits(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function)
    worker.can_do(function)
    worker.send(Packet.PRE_SLEEP)
    worker.expect(Packet.NOOP)
    assert worker.grab().handle == handle


def test_a_worker_without_the_ability_sleeps_on(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function + "-other")
    worker.send(Packet.PRE_SLEEP)
    worker.sync()
    client.submit(function)
    worker.expect_nothing()


def test_a_worker_that_does_not_sleep_is_not_woken(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    client.submit(function)
    worker.expect_nothing()


def test_a_worker_that_grabbed_is_awake(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    worker.send(Packet.PRE_SLEEP)
    worker.grab_nothing()
    client.submit(function)
    worker.expect_nothing()


def test_a_sleeping_worker_gets_one_noop_for_many_jobs(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    worker.can_do(function)
    worker.send(Packet.PRE_SLEEP)
    worker.sync()
    handles = [client.submit(function, number) for number in range(3)]
    worker.expect(Packet.NOOP)
    worker.expect_nothing()
    assert [worker.grab().handle for _ in handles] == handles


def test_a_worker_is_woken_each_time_it_sleeps(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    for _ in range(3):
        worker.send(Packet.PRE_SLEEP)
        worker.sync()
        handle = client.submit(function)
        worker.expect(Packet.NOOP)
        assert worker.grab().handle == handle
        worker.complete(handle)
        client.expect(Packet.WORK_COMPLETE, handle, b"")
        worker.grab_nothing()


def test_a_job_given_back_wakes_another_worker(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function)
    other = connect()
    other.can_do(function)
    other.grab()
    worker.can_do(function)
    worker.grab_nothing()
    worker.send(Packet.PRE_SLEEP)
    worker.sync()
    other.close()
    worker.expect(Packet.NOOP)
    assert worker.grab().handle == handle


def test_an_ability_announced_in_sleep_wakes_for_waiting_work(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    client.submit(function)
    worker.send(Packet.PRE_SLEEP)
    worker.send(Packet.CAN_DO, function)
    worker.expect(Packet.NOOP)


def test_one_sleeping_worker_is_woken_for_one_job(connect: Connect, client: RawPeer, function: str) -> None:
    # A worker that is woken and does not grab within a tenth of a second rightly passes its wake on, so what
    # a busy machine held up for as long says nothing and is tried again.
    for attempt in range(5):
        name = f"{function}-{attempt}"
        sleepers = [connect() for _ in range(3)]
        for sleeper in sleepers:
            sleeper.can_do(name)
            sleeper.send(Packet.PRE_SLEEP)
            sleeper.sync()
        started = time.monotonic()
        client.submit(name)
        woken = [sleeper for sleeper in sleepers if _is_woken(sleeper)]
        if len(woken) == 1 or time.monotonic() - started < 0.08:
            break
    assert len(woken) == 1, f"{len(woken)} of {len(sleepers)} sleeping workers were woken for one job"


def _is_woken(peer: RawPeer) -> bool:
    """Whether a NOOP is there before the answer to an ECHO."""
    peer.send(Packet.ECHO_REQ, "awake?")
    first = peer.recv().type
    if first == Packet.NOOP:
        peer.expect(Packet.ECHO_RES, "awake?")
    return first == Packet.NOOP


def test_a_second_job_wakes_a_second_worker(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    other = connect()
    for sleeper in (worker, other):
        sleeper.can_do(function)
        sleeper.send(Packet.PRE_SLEEP)
        sleeper.sync()
    client.submit(function)
    client.submit(function)
    worker.expect(Packet.NOOP)
    other.expect(Packet.NOOP)
    assert worker.grab().handle != other.grab().handle


def test_no_job_waits_while_a_worker_sleeps(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    """Whoever is woken first does not grab; the other one is woken for the job before long."""
    other = connect()
    for sleeper in (worker, other):
        sleeper.can_do(function)
        sleeper.send(Packet.PRE_SLEEP)
        sleeper.sync()
    handle = client.submit(function)
    woken = select.select([worker.socket, other.socket], [], [], worker.timeout)[0]
    second = other if woken[0] is worker.socket else worker
    second.expect(Packet.NOOP)
    assert second.grab().handle == handle


def test_a_woken_worker_that_leaves_passes_its_wake_on(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    other = connect()
    for sleeper in (worker, other):
        sleeper.can_do(function)
        sleeper.send(Packet.PRE_SLEEP)
        sleeper.sync()
    handle = client.submit(function)
    woken = select.select([worker.socket, other.socket], [], [], worker.timeout)[0]
    first, second = (worker, other) if woken[0] is worker.socket else (other, worker)
    first.close()
    second.expect(Packet.NOOP)
    assert second.grab().handle == handle
