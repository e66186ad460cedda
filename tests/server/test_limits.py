"""What the server takes at most, and what happens beyond."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from geartrain.server import ServerOptions
from geartrain.server.options import Limits, Timeouts
from tests.harness.processes import wait_until
from tests.harness.rawwire import REQ, Packet, RawPeer, encode

from .running import RunningServer


def serve(limits: Limits | None = None, timeouts: Timeouts | None = None) -> RunningServer:
    return RunningServer(ServerOptions(port=0, limits=limits or Limits(), timeouts=timeouts or Timeouts()))


def connections(running: RunningServer) -> int:
    return running.ask(lambda server: len(server.connections))


# Jobs


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(jobs=3), "The job server is full"),
        (Limits(job_bytes=3 * (512 + 1000)), "The job server is full"),
        (Limits(function_jobs=3), "Job queue is full"),
        (Limits(function_bytes=3 * (512 + 1000)), "Job queue is full"),
    ],
)
def test_a_full_server_refuses_new_jobs_and_finishes_the_old_ones(limits: Limits, sentence: str) -> None:
    with serve(limits) as running, running.connect() as client, running.connect() as worker:
        worker.can_do("f")
        handles = [client.submit("f", b"x" * 1000) for _ in range(3)]
        for form in (Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_HIGH_BG):
            client.send(form, "f", "", b"x" * 1000)
            client.expect(Packet.ERROR, "QUEUE_ERROR", sentence)
        assert worker.grab().handle == handles[0]
        worker.complete(handles[0], "done")
        client.expect(Packet.WORK_COMPLETE, handles[0], "done")
        client.submit("f", b"x" * 1000)


def test_the_jobs_of_one_function_do_not_count_for_another() -> None:
    with serve(Limits(function_jobs=1)) as running, running.connect() as client:
        client.submit("f")
        client.submit("g")
        client.send(Packet.SUBMIT_JOB, "f", "", "")
        client.expect_error("QUEUE_ERROR")


def test_what_jobs_take_is_given_back_however_they_end() -> None:
    with serve() as running, running.connect() as client, running.connect() as worker:
        worker.can_do("f")
        completed = client.submit("f", b"x" * 1000, unique="u")
        cancelled = client.submit("f", b"x" * 1000)
        client.send(Packet.SUBMIT_REDUCE_JOB, "f", "", "reducer", "0", b"x" * 1000)
        client.expect(Packet.JOB_CREATED)
        assert running.ask(lambda server: server.broker.jobs.bytes) == 3 * (512 + 1000) + 1 + 7
        assert worker.grab().handle == completed
        worker.complete(completed)
        client.expect(Packet.WORK_COMPLETE)
        client.send_text(b"cancel job " + cancelled)
        client.expect(Packet.WORK_FAIL, cancelled)
        assert client.recv_line() == b"OK\r\n"
        client.leave(worker)
        assert running.ask(lambda server: server.broker.jobs.bytes) == 0


# Functions and abilities


def test_functions_without_jobs_and_workers_make_room_for_new_ones() -> None:
    with serve(Limits(functions=10)) as running, running.connect() as client, running.connect() as worker:
        worker.can_do(*(f"worked{number}" for number in range(5)))
        for number in range(5):
            client.submit(f"queued{number}")
        client.send(Packet.SUBMIT_JOB, "one too many", "", "")
        client.expect(Packet.ERROR, "LIMIT_REACHED", "There are too many functions")
        worker.send(Packet.CANT_DO, "worked0")
        worker.sync()
        # Room is looked for once in a tick.
        wait_until(lambda: _is_taken(client, "another"), "there is room")
        client.send_text("create function one-too-many")
        assert client.recv_line() == b"ERR LIMIT_REACHED There+are+too+many+functions\r\n"


def _is_taken(client: RawPeer, function: str) -> bool:
    client.send(Packet.SUBMIT_JOB, function, "", "")
    return client.recv().type == Packet.JOB_CREATED


def test_a_worker_announces_no_more_functions_than_it_may() -> None:
    with serve(Limits(abilities=3)) as running, running.connect() as worker:
        worker.can_do("a", "b", "c")
        worker.can_do("a")
        worker.send(Packet.CAN_DO, "d")
        worker.expect_error("LIMIT_REACHED")
        worker.send(Packet.CANT_DO, "a")
        worker.can_do("d")


def test_names_are_no_longer_than_they_may_be() -> None:
    with serve() as running, running.connect() as peer:
        peer.can_do("f" * 512)
        peer.submit("f" * 512)
        for type, *arguments in (
            (Packet.CAN_DO, "f" * 513),
            (Packet.SUBMIT_JOB, "f" * 513, "", ""),
            (Packet.SUBMIT_REDUCE_JOB, "f", "", "r" * 513, "0", ""),
        ):
            peer.send(type, *arguments)
            peer.expect_error("ARGUMENT_TOO_LARGE")
        peer.send(Packet.SET_CLIENT_ID, "i" * 1000)
        peer.send_text("workers")
        assert f" {'i' * 127} :" in peer.recv_lines()[0].decode()


# Connections


def test_beyond_the_limit_nobody_is_accepted_until_somebody_leaves() -> None:
    with serve(Limits(connections=3)) as running, ExitStack() as stack:
        peers = [stack.enter_context(running.connect()) for _ in range(3)]
        for peer in peers:
            peer.sync()
        # The kernel takes the connection, and the server answers once it has room.
        waiting = stack.enter_context(running.connect())
        waiting.send(Packet.ECHO_REQ, "hello")
        peers[0].sync()
        assert connections(running) == 3
        peers[0].close()
        waiting.expect(Packet.ECHO_RES, "hello")
        assert connections(running) == 3


def test_one_address_has_no_more_connections_than_it_may() -> None:
    with serve(Limits(connections_per_address=2)) as running, ExitStack() as stack:
        first, second = (stack.enter_context(running.connect()) for _ in range(2))
        second.sync()
        for _ in range(3):
            with running.connect() as third:
                third.expect_closed()
        first.leave(second)
        stack.enter_context(running.connect()).sync()


# Time


def test_a_packet_that_does_not_go_on_ends_its_connection() -> None:
    with serve(timeouts=Timeouts(packet=0.5)) as running, running.connect() as idle:
        with running.connect() as stalled:
            stalled.send_bytes(REQ + bytes(3))
            stalled.expect_closed()
        with running.connect() as stalled:
            stalled.send_bytes(encode(Packet.ECHO_REQ, "hello")[:-1])
            stalled.expect_closed()
        idle.sync()


def test_only_who_neither_works_nor_waits_may_not_be_silent_for_long() -> None:
    with serve(timeouts=Timeouts(idle=0.5)) as running, ExitStack() as stack:
        waiting, working, idle = (stack.enter_context(running.connect()) for _ in range(3))
        waiting.submit("f")
        working.can_do("f")
        idle.expect_closed()
        assert connections(running) == 2
        waiting.sync()
        working.sync()


# Memory


def test_packets_that_do_not_arrive_completely_take_a_bounded_memory() -> None:
    limits = Limits(unfinished=5_000_000, packet=4_000_000)
    with serve(limits) as running, running.connect() as canary, ExitStack() as stack:
        header = REQ + int(Packet.ECHO_REQ).to_bytes(4, "big") + (3_000_000).to_bytes(4, "big")
        holders = [stack.enter_context(running.connect()) for _ in range(4)]
        for number, holder in enumerate(holders[:2]):
            holder.send_bytes(header + bytes(2_000_000))
            least = (number + 1) * 2_000_000
            wait_until(lambda: running.ask(lambda server: server.unfinished) >= least, "it is there")  # noqa: B023
        for holder in holders[2:]:
            with pytest.raises(AssertionError, match="closed the connection"):
                _fill(holder, header + bytes(2_900_000))
        assert running.ask(lambda server: server.unfinished) <= limits.unfinished
        canary.sync()
        holders[0].send_bytes(bytes(1_000_000))
        assert len(holders[0].expect(Packet.ECHO_RES)[0]) == 3_000_000
        stack.close()
        wait_until(lambda: running.ask(lambda server: server.unfinished) == 0, "it is given back")


def _fill(peer: RawPeer, data: bytes) -> None:
    peer.send_bytes(data)
    peer.recv()


def test_when_too_much_waits_for_all_peers_those_with_the_most_are_dropped() -> None:
    with serve(Limits(outboxes=20_000_000)) as running, ExitStack() as stack:
        large, small, worker = (stack.enter_context(running.connect()) for _ in range(3))
        worker.can_do("f")
        for client, size in ((large, 30_000_000), (small, 12_000_000)):
            handle = client.submit("f")
            assert worker.grab().handle == handle
            worker.send(Packet.WORK_COMPLETE, handle, bytes(size))
        wait_until(lambda: connections(running) == 2, "the larger one is dropped")
        assert len(small.expect(Packet.WORK_COMPLETE)[1]) == 12_000_000
        worker.sync()


def test_small_questions_with_large_answers_are_not_answered_without_end() -> None:
    with serve() as running, running.connect() as client, running.connect() as asker:
        for number in range(2000):
            client.send(Packet.SUBMIT_JOB_BG, "f", f"{number:060}", "")
            client.expect(Packet.JOB_CREATED)
        # Each answer is more than 120 kB, all of them would be 12 GB.
        asker.socket.sendall(b"show unique jobs\n" * 100_000)
        client.sync()
        waiting = running.ask(lambda server: max(connection.waiting for connection in server.connections))
        assert waiting < 100_000_000
        assert connections(running) == 2


def test_a_job_with_very_many_clients_takes_no_more() -> None:
    from geartrain.broker import limits

    with serve() as running, running.connect() as client:
        most = limits.MAX_SUBMITTERS
        one = encode(Packet.SUBMIT_JOB, "f", "u", "")
        client.send_bytes(one * (most + 1))
        for _ in range(most):
            client.expect(Packet.JOB_CREATED)
        client.expect(Packet.ERROR, "QUEUE_ERROR", "Too many clients wait for this job")
