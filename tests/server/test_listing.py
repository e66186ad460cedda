"""Long lists are answered in parts: the server stays awake, and the asker gets all of it, in its place."""

from __future__ import annotations

import socket

from geartrain.broker.broker import LONG_LIST
from geartrain.broker.limits import JOB_COST
from geartrain.broker.state import NORMAL, Job
from geartrain.server import Server, ServerOptions
from geartrain.server.options import Timeouts
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer, encode

from .running import RunningServer

MANY = 5 * LONG_LIST
"""Jobs whose uniques don't fit into the sockets' buffers."""


def fill(running: RunningServer, count: int) -> None:
    def submit(server: Server) -> None:
        for number in range(count):
            server.broker.submissions.queue(b"f", b"", unique=b"%064d" % number, priority=NORMAL)

    running.ask(submit)


def slow_reader(running: RunningServer) -> RawPeer:
    """A connection whose receive buffer holds next to nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((running.host, running.port))
    return RawPeer.over(connection)


def test_a_long_list_is_whole_and_stands_between_what_was_asked_before_it_and_after() -> None:
    with RunningServer() as running, running.connect() as asker:
        fill(running, LONG_LIST)
        asker.send_bytes(
            encode(Packet.ECHO_REQ, "before") + b"show unique jobs\n" + encode(Packet.ECHO_REQ, "between")
            + b"show jobs\n" + encode(Packet.ECHO_REQ, "after")
        )  # fmt: skip
        asker.expect(Packet.ECHO_RES, "before")
        assert asker.recv_lines() == [b"%064d" % number for number in range(LONG_LIST)]
        asker.expect(Packet.ECHO_RES, "between")
        jobs = [line.split(b"\t") for line in asker.recv_lines()]
        assert len({job[0] for job in jobs}) == LONG_LIST
        assert {tuple(job[1:]) for job in jobs} == {(b"0", b"0", b"1")}
        asker.expect(Packet.ECHO_RES, "after")
        asker.sync()
        asker.send_text("show jobs\nshow jobs\nversion")
        assert len(asker.recv_lines()) == len(asker.recv_lines()) == LONG_LIST
        assert asker.recv_line().startswith(b"OK ")


def test_while_one_peer_is_slow_to_read_a_list_others_are_served_and_what_it_waits_for_comes_after() -> None:
    with RunningServer() as running, running.connect() as worker, slow_reader(running) as asker:
        fill(running, MANY)
        worker.can_do("quick")
        handle = asker.submit("quick")
        asker.send_text("show unique jobs")
        wait_until(lambda: running.ask(lambda server: len(server.clogged)) == 1, "the asker is clogged")
        assert worker.grab().handle == handle
        with running.connect() as other:
            other.sync()
        # It is not waited for: the worker is held up, too, until the asker reads.
        worker.send(Packet.WORK_COMPLETE, handle, "done")
        # Jobs go while the list is being made; those that stay are all in it.
        running.ask(lambda server: [server.broker.jobs.cancel(job.handle) for job in last_jobs(server)])
        listed = asker.recv_lines()
        assert set(listed) >= {b"%064d" % number for number in range(MANY - 100)}
        assert len(listed) <= MANY + 1
        asker.expect(Packet.WORK_COMPLETE, handle, "done")
        asker.sync()


def last_jobs(server: Server) -> list[Job]:
    return list(server.broker.jobs.by_handle.values())[-100:]


def test_a_peer_that_asks_for_a_long_list_and_does_not_read_it_is_dropped() -> None:
    with (
        RunningServer(ServerOptions(port=0, timeouts=Timeouts(reader=1))) as running,
        slow_reader(running) as asker,
        running.connect() as other,
    ):
        fill(running, MANY)
        asker.send_text("show unique jobs")
        wait_until(lambda: running.ask(lambda server: len(server.connections)) == 1, "it is dropped")
        other.sync()
        assert running.ask(lambda server: server.broker.jobs.bytes) == MANY * (64 + JOB_COST)
