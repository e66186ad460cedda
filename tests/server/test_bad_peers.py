"""Peers that send what they should not, or do not read what they are sent."""

from __future__ import annotations

import threading

import pytest

from geartrain.server import ServerOptions
from geartrain.server.options import Limits, Timeouts
from tests.harness.processes import wait_until
from tests.harness.rawwire import REQ, Packet, encode

from .running import RunningServer


@pytest.mark.parametrize("garbage", [b"\0XYZ" + bytes(8), b"\0\0\0\0" + bytes(8), b"\0RE!"])
def test_bytes_that_are_no_packet_get_an_error_and_a_closed_connection(garbage: bytes) -> None:
    with RunningServer() as running, running.connect() as canary:
        with running.connect() as peer:
            peer.send_bytes(garbage)
            peer.expect_error("INVALID_PACKET")
            peer.expect_closed()
        canary.sync()
        assert running.ask(lambda server: len(server.connections)) == 1


def test_what_came_before_the_garbage_is_carried_out() -> None:
    with RunningServer() as running:
        with running.connect() as peer:
            peer.send_bytes(encode(Packet.SUBMIT_JOB_BG, "f", "", "w") + b"\0NO!" + bytes(8))
            peer.expect(Packet.JOB_CREATED)
            peer.expect_error("INVALID_PACKET")
            peer.expect_closed()
        assert running.ask(lambda server: len(server.broker.jobs)) == 1


def test_a_packet_over_the_limit_is_refused_from_its_header() -> None:
    with (
        RunningServer(ServerOptions(port=0, limits=Limits(packet=1000))) as running,
        running.connect() as peer,
    ):
        peer.send(Packet.ECHO_REQ, b"x" * 1000)
        peer.expect(Packet.ECHO_RES)
        peer.send_bytes(REQ + (16).to_bytes(4, "big") + (1001).to_bytes(4, "big"))
        peer.expect_error("ARGUMENT_TOO_LARGE")
        peer.expect_closed()


def test_a_line_without_an_end_is_refused() -> None:
    with RunningServer() as running, running.connect() as peer:
        peer.send_bytes(b"x" * 10_000)
        peer.expect_error("INVALID_PACKET")
        peer.expect_closed()


@pytest.mark.parametrize("type", [Packet.WORK_COMPLETE, Packet.WORK_EXCEPTION, Packet.WORK_DATA])
def test_a_worker_may_leave_out_what_is_empty_as_the_perl_library_does(type: Packet) -> None:
    with RunningServer() as running, running.connect() as worker, running.connect() as client:
        client.send(Packet.OPTION_REQ, "exceptions")
        client.expect(Packet.OPTION_RES)
        worker.can_do("f")
        handle = client.submit("f")
        worker.grab()
        worker.send(type, handle)
        client.expect(type, handle, "")
        worker.sync()


def test_a_malformed_packet_gets_an_error_and_the_connection_goes_on() -> None:
    with RunningServer() as running, running.connect() as peer:
        peer.send(Packet.SUBMIT_JOB, "only a function")
        assert b"SUBMIT_JOB takes 3 arguments, got 1" in peer.expect_error("INVALID_PACKET")
        peer.sync()


def test_a_result_that_was_left_out_is_empty() -> None:
    """Perl's library sends no more than the handle."""
    with RunningServer() as running, running.connect() as client, running.connect() as worker:
        handle = client.submit("f", "x")
        worker.can_do("f")
        worker.grab()
        worker.send(Packet.WORK_COMPLETE, handle)
        client.expect(Packet.WORK_COMPLETE, handle, b"")
        worker.sync()


def test_a_client_that_does_not_read_pauses_its_worker_and_is_dropped_at_last() -> None:
    options = ServerOptions(port=0, timeouts=Timeouts(reader=1.0))
    with (
        RunningServer(options) as running,
        running.connect() as client,
        running.connect() as worker,
        running.connect() as canary,
    ):
        worker.can_do("f")
        handle = client.submit("f")
        worker.grab()
        # More than the sockets on the way hold, so this ends only when the client was dropped.
        worker.send_bytes(encode(Packet.WORK_DATA, handle, b"x" * 1_000_000) * 100)
        worker.sync()
        canary.sync()
        assert running.ask(lambda server: len(server.connections)) == 2
        worker.complete(handle)


def test_a_client_that_is_being_closed_and_does_not_read_the_rest_holds_up_nobody() -> None:
    with RunningServer() as running, running.connect() as client, running.connect() as worker:
        worker.can_do("f")
        handle = client.submit("f")
        worker.grab()
        chunk = encode(Packet.WORK_DATA, handle, b"x" * 500_000)
        while not running.ask(lambda server: sum(each.waiting for each in server.connections)):
            worker.send_bytes(chunk)
        client.socket.sendall(b"\0NO!" + bytes(8))
        wait_until(
            lambda: running.ask(lambda server: any(each._is_closing for each in server.connections)),
            "it is being closed",
        )
        worker.send_bytes(chunk * 100)
        worker.sync()
        assert running.ask(lambda server: sum(each.waiting for each in server.connections)) < 2_000_000
        worker.complete(handle)
        # What was written before it was closed, it gets.
        assert client.recv_rest()[-1].type == Packet.ERROR


def test_a_worker_that_is_cut_off_while_it_is_held_up_leaves_nothing_behind() -> None:
    options = ServerOptions(port=0, timeouts=Timeouts(reader=0.0))
    with RunningServer(options) as running, running.connect() as client, running.connect() as worker:
        handle = client.submit("f")
        worker.can_do("f")
        worker.grab()
        chunk = encode(Packet.WORK_DATA, handle, b"x" * 500_000)
        while not running.ask(lambda server: any(each._held_up for each in server.clogged)):
            worker.send_bytes(chunk)
        running.ask(lambda server: next(iter(server.clogged))._held_up[0].drop("a test"))
        wait_until(lambda: running.ask(lambda server: len(server.connections)) == 1, "it is gone")
        assert not running.ask(lambda server: any(each._held_up for each in server.clogged))


def test_a_slow_client_pauses_its_worker_and_gets_everything() -> None:
    with RunningServer() as running, running.connect() as client, running.connect() as worker:
        worker.can_do("f")
        handle = client.submit("f")
        worker.grab()
        chunks = 50
        sender = threading.Thread(
            target=worker.send_bytes, args=(encode(Packet.WORK_DATA, handle, b"x" * 1_000_000) * chunks,)
        )
        sender.start()
        most = 0
        for _ in range(chunks):
            most = max(most, running.ask(lambda server: sum(c.waiting for c in server.connections)))
            client.expect(Packet.WORK_DATA, handle, b"x" * 1_000_000)
        sender.join(10)
        assert most < 4_000_000
        worker.complete(handle, "done")
        client.expect(Packet.WORK_COMPLETE, handle, "done")


def test_a_peer_that_lets_more_gather_than_it_may_is_dropped() -> None:
    limit = 4_000_000
    with (
        RunningServer(ServerOptions(port=0, limits=Limits(outbox=limit))) as running,
        running.connect() as client,
        running.connect() as canary,
    ):
        jobs = []
        for _ in range(20):
            worker = running.connect()
            worker.can_do("f")
            jobs.append((worker, client.submit("f")))
        for worker, handle in jobs:
            assert worker.grab().handle == handle
        for worker, handle in jobs:
            worker.send(Packet.WORK_COMPLETE, handle, b"x" * 1_000_000)
        wait_until(lambda: running.ask(lambda server: len(server.connections)) == 21, "the client is dropped")
        canary.sync()
        for worker, _ in jobs:
            worker.close()


def test_a_producer_that_does_not_read_its_answers_is_read_no_further() -> None:
    with RunningServer() as running, running.connect() as peer, running.connect() as canary:
        peer.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            peer.socket.sendall(encode(Packet.ECHO_REQ, b"x" * 100_000) * 1000)
        canary.sync()
        assert running.ask(lambda server: len(server.connections)) == 2


def test_a_worker_that_vanishes_gives_its_job_back() -> None:
    with RunningServer() as running, running.connect() as client, running.connect() as worker:
        handle = client.submit("f", "w")
        with running.connect() as dying:
            dying.can_do("f")
            assert dying.grab().handle == handle
        worker.can_do("f")
        wait_until(lambda: client.status(handle).running == b"0", "the job is queued again")
        assert worker.grab().handle == handle
