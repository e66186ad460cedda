"""GET_STATUS and GET_STATUS_UNIQUE, of jobs in every state."""

from __future__ import annotations

from tests.harness.rawwire import Packet, RawPeer, Status

from .conftest import Connect


def test_an_unknown_handle_is_not_known(client: RawPeer) -> None:
    status = client.status(b"H:nowhere:1")
    assert (status.known, status.running) == (b"0", b"0")


def test_a_queued_job_is_known(client: RawPeer, function: str) -> None:
    handle = client.submit(function)
    status = client.status(handle)
    assert (status.known, status.running) == (b"1", b"0")


def test_a_job_with_a_worker_is_running(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    worker.can_do(function)
    worker.grab()
    status = client.status(handle)
    assert (status.known, status.running) == (b"1", b"1")


def test_the_numbers_are_zeros_until_a_worker_sends_some(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    assert client.status(b"H:nowhere:1") == Status(b"0", b"0", b"0", b"0")
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    assert client.status(handle) == Status(b"1", b"0", b"0", b"0")
    worker.can_do(function)
    worker.grab()
    assert client.status(handle) == Status(b"1", b"1", b"0", b"0")


def test_a_status_shows_the_last_numbers(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    worker.can_do(function)
    worker.grab()
    worker.send(Packet.WORK_STATUS, handle, 1, 100)
    worker.send(Packet.WORK_STATUS, handle, 42, 4000000)
    worker.sync()
    assert client.status(handle) == Status(b"1", b"1", b"42", b"4000000")


def test_a_job_that_ended_is_not_known(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    worker.can_do(function)
    worker.grab()
    worker.complete(handle)
    assert client.status(handle).known == b"0"


def test_anybody_may_ask(connect: Connect, client: RawPeer, function: str) -> None:
    handle = client.submit(function)
    assert connect().status(handle).known == b"1"


def test_a_job_given_back_has_no_numbers(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function)
    other = connect()
    other.can_do(function)
    other.grab()
    other.send(Packet.WORK_STATUS, handle, 1, 2)
    client.expect(Packet.WORK_STATUS, handle, 1, 2)
    other.leave(worker)
    assert client.status(handle) == Status(b"1", b"0", b"0", b"0")


def test_an_unknown_unique_is_not_known(client: RawPeer, function: str) -> None:
    assert client.status_unique(function) == Status(b"0", b"0", b"0", b"0", b"0")


def test_a_job_is_found_by_its_unique(client: RawPeer, worker: RawPeer, function: str) -> None:
    unique = function
    handle = client.submit(function, unique=unique)
    assert client.status_unique(unique) == Status(b"1", b"0", b"0", b"0", b"1")
    worker.can_do(function)
    worker.grab()
    worker.send(Packet.WORK_STATUS, handle, 3, 4)
    client.expect(Packet.WORK_STATUS, handle, 3, 4)
    assert client.status_unique(unique) == Status(b"1", b"1", b"3", b"4", b"1")
    worker.complete(handle)
    client.expect(Packet.WORK_COMPLETE, handle, b"")
    assert client.status_unique(unique) == Status(b"0", b"0", b"0", b"0", b"0")


def test_a_status_by_unique_counts_the_waiting_clients(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    unique, other = function, connect()
    client.submit(function, unique=unique, type=Packet.SUBMIT_JOB_BG)
    assert client.status_unique(unique).clients == b"0"
    client.submit(function, unique=unique)
    other.submit(function, unique=unique)
    assert client.status_unique(unique).clients == b"2"
    other.leave(worker)
    assert client.status_unique(unique).clients == b"1"
