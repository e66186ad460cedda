"""What a worker says of its job, and which clients hear it."""

from __future__ import annotations

import pytest

from tests.harness.rawwire import Packet, RawPeer

from .conftest import Connect

# What a worker may say, with what follows the handle; and what of it ends the job.
EVENTS = {
    Packet.WORK_DATA: (b"da\0ta",),
    Packet.WORK_WARNING: (b"war\0ning",),
    Packet.WORK_STATUS: (b"3", b"10"),
    Packet.WORK_COMPLETE: (b"re\0sult",),
    Packet.WORK_FAIL: (),
    Packet.WORK_EXCEPTION: (b"ex\0ception",),
}
ENDS = {Packet.WORK_COMPLETE, Packet.WORK_FAIL, Packet.WORK_EXCEPTION}

each_event = pytest.mark.parametrize("event", EVENTS, ids=lambda packet: packet.name)


def listen_for_exceptions(*clients: RawPeer) -> None:
    for client in clients:
        client.send(Packet.OPTION_REQ, "exceptions")
        client.expect(Packet.OPTION_RES, "exceptions")


@each_event
def test_every_event_reaches_every_client_of_the_job(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str, event: Packet
) -> None:
    other, background, stranger = connect(), connect(), connect()
    listen_for_exceptions(client, other, background, stranger)
    handle = client.submit(function, unique="unique")
    other.submit(function, unique="unique")
    background.submit(function, unique="unique", type=Packet.SUBMIT_JOB_BG)
    worker.can_do(function)
    worker.grab()
    worker.send(event, handle, *EVENTS[event])
    worker.expect_nothing()
    client.expect(event, handle, *EVENTS[event])
    other.expect(event, handle, *EVENTS[event])
    client.expect_nothing()
    background.expect_nothing()
    stranger.expect_nothing()


@each_event
def test_an_event_ends_the_job_or_does_not(
    client: RawPeer, worker: RawPeer, function: str, event: Packet
) -> None:
    listen_for_exceptions(client)
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    worker.send(event, handle, *EVENTS[event])
    worker.sync()
    assert client.expect(event)[0] == handle
    assert client.status(handle).known == (b"0" if event in ENDS else b"1")


@each_event
def test_an_event_for_an_unknown_handle_is_refused(worker: RawPeer, event: Packet) -> None:
    worker.send(event, "H:nowhere:1", *EVENTS[event])
    worker.expect_error("JOB_NOT_FOUND")
    worker.expect_nothing()


@each_event
def test_an_event_for_a_job_of_another_worker_is_refused(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str, event: Packet
) -> None:
    listen_for_exceptions(client)
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    thief = connect()
    thief.can_do(function)
    thief.send(event, handle, *EVENTS[event])
    thief.expect(Packet.ERROR)
    client.expect_nothing()
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")


@each_event
def test_an_event_for_a_queued_job_is_refused(
    client: RawPeer, worker: RawPeer, function: str, event: Packet
) -> None:
    handle = client.submit(function)
    worker.can_do(function)
    worker.send(event, handle, *EVENTS[event])
    worker.expect(Packet.ERROR)
    client.expect_nothing()
    assert worker.grab().handle == handle


@each_event
def test_an_event_for_a_job_that_ended_is_refused(
    client: RawPeer, worker: RawPeer, function: str, event: Packet
) -> None:
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    worker.complete(handle, b"result")
    worker.send(event, handle, *EVENTS[event])
    worker.expect(Packet.ERROR)
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    client.expect_nothing()


def test_events_come_in_the_order_they_were_sent(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    for number in range(10):
        worker.send(Packet.WORK_DATA, handle, number)
        worker.send(Packet.WORK_WARNING, handle, number)
        worker.send(Packet.WORK_STATUS, handle, number, 10)
    worker.send(Packet.WORK_COMPLETE, handle, b"end")
    for number in range(10):
        client.expect(Packet.WORK_DATA, handle, number)
        client.expect(Packet.WORK_WARNING, handle, number)
        client.expect(Packet.WORK_STATUS, handle, number, 10)
    client.expect(Packet.WORK_COMPLETE, handle, b"end")


@pytest.mark.parametrize(
    "event", [Packet.WORK_DATA, Packet.WORK_WARNING, Packet.WORK_COMPLETE], ids=lambda packet: packet.name
)
def test_an_event_may_be_empty(client: RawPeer, worker: RawPeer, function: str, event: Packet) -> None:
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    worker.send(event, handle, b"")
    client.expect(event, handle, b"")


def test_data_of_a_megabyte_passes_unchanged(client: RawPeer, worker: RawPeer, function: str) -> None:
    chunk = bytes(range(256)) * 4096
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    worker.send(Packet.WORK_DATA, handle, chunk)
    client.expect(Packet.WORK_DATA, handle, chunk)


# Exceptions


@pytest.mark.parametrize("option", ["exceptions", "EXCEPTIONS", "Exceptions"])
def test_a_client_that_asked_for_exceptions_gets_them(
    client: RawPeer, worker: RawPeer, function: str, option: str
) -> None:
    client.send(Packet.OPTION_REQ, option)
    client.expect(Packet.OPTION_RES, option)
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    worker.send(Packet.WORK_EXCEPTION, handle, b"division by zero")
    client.expect(Packet.WORK_EXCEPTION, handle, b"division by zero")
    client.expect_nothing()


def test_a_client_that_did_not_ask_gets_a_fail_for_an_exception(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    worker.send(Packet.WORK_EXCEPTION, handle, b"division by zero")
    worker.sync()
    client.expect(Packet.WORK_FAIL, handle)
    client.expect_nothing()


def test_an_exception_ends_a_job_whoever_hears_of_it(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    worker.can_do(function)
    worker.grab()
    worker.send(Packet.WORK_EXCEPTION, handle, b"division by zero")
    worker.sync()
    assert client.status(handle).known == b"0"


@pytest.mark.parametrize(
    "option",
    [
        pytest.param("", id="empty"),
        pytest.param("exception", id="shorter"),
        pytest.param("exceptions ", id="longer"),
        pytest.param("anything else", id="other"),
        pytest.param("x" * 300, id="300-bytes"),
    ],
)
def test_an_unknown_option_is_refused(client: RawPeer, option: str) -> None:
    client.send(Packet.OPTION_REQ, option)
    client.expect(Packet.ERROR, "UNKNOWN_OPTION", "Server does not recognize given option")
    client.expect_nothing()
