"""Workers of more than one job server: turns, servers that go, come back, hang or never were."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
import structlog
from structlog.testing import LogCapture
from structlog.typing import EventDict

from geartrain import Job, Worker
from geartrain.wire.address import parse_address
from geartrain.worker.engine import keepalive
from geartrain.worker.engine.keepalive import FIRST_PAUSE, LONGEST_PAUSE, Backoff
from geartrain.worker.functions import FunctionRegistry
from geartrain.worker.sync import connection, servers
from geartrain.worker.sync.servers import Servers
from tests.harness.form import uncompiled
from tests.harness.processes import free_port, wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import geartrain
from tests.server.running import RunningServer

from .running import ScriptedServer, abilities, working


class Order:
    """A worker whose handler notes each job."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.done: list[bytes] = []
        self.worker = Worker(addresses)
        self.worker.register("note", self.note)

    def note(self, job: Job) -> bytes:
        self.done.append(job.workload)
        return job.workload


def test_servers_with_jobs_take_turns() -> None:
    with RunningServer() as first, RunningServer() as second, first.connect() as one, second.connect() as two:
        order = Order([f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"])
        held = threading.Event()

        @order.worker.function("hold")
        def hold(job: Job) -> None:
            assert held.wait(10)

        with working(order.worker):
            wait_until(lambda: abilities(first) and abilities(second), "the worker is connected to both")
            one.submit("hold")
            for _ in range(10):
                one.submit("note", b"one", type=Packet.SUBMIT_JOB_BG)
                two.submit("note", b"two", type=Packet.SUBMIT_JOB_BG)
            held.set()
            wait_until(lambda: len(order.done) == 20, "all jobs are done")
    pairs = [set(order.done[at : at + 2]) for at in range(0, 20, 2)]
    assert pairs == [{b"one", b"two"}] * 10


def test_a_server_with_many_jobs_does_not_keep_the_others_waiting() -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(RunningServer()) for _ in range(2))
        one, two, handlers = (stack.enter_context(server.connect()) for server in (first, second, first))
        order = Order([f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"])
        answered = threading.Event()

        @order.worker.function("endless")
        def endless(job: Job) -> None:
            if not answered.is_set():
                handlers.submit("endless", type=Packet.SUBMIT_JOB_BG)

        with working(order.worker):
            for _ in range(5):
                one.submit("endless", type=Packet.SUBMIT_JOB_BG)
            for number in range(20):
                two.submit("note", b"%d" % number)
                two.expect(Packet.WORK_COMPLETE)
            answered.set()


def test_a_worker_goes_on_when_a_server_is_killed_and_comes_back_to_it() -> None:
    with RunningServer() as steady, ExitStack() as stack:
        mortal = stack.enter_context(geartrain())
        order = Order([mortal.address, f"127.0.0.1:{steady.port}"])
        with working(order.worker), steady.connect() as client:
            with mortal.connect() as other:
                other.submit("note", b"first")
                other.expect(Packet.WORK_COMPLETE)
            mortal.process.kill()
            for number in range(10):
                client.submit("note", b"%d" % number)
                client.expect(Packet.WORK_COMPLETE)
            again = stack.enter_context(geartrain(port=mortal.port))
            with again.connect() as other:
                other.submit("note", b"again")
                other.expect(Packet.WORK_COMPLETE)
    assert order.done == [b"first", *(b"%d" % number for number in range(10)), b"again"]


def test_a_server_that_accepts_and_then_says_nothing_holds_up_nobody() -> None:
    with ScriptedServer() as silent, RunningServer() as steady, steady.connect() as client:
        order = Order([silent.address, f"127.0.0.1:{steady.port}"])
        with working(order.worker):
            end = silent.accept()
            for number in range(10):
                client.submit("note", b"%d" % number)
                client.expect(Packet.WORK_COMPLETE)
            end.expect(Packet.SET_CLIENT_ID, Packet.CAN_DO, Packet.ECHO_REQ, Packet.PRE_SLEEP)


@uncompiled
def test_a_server_that_stops_answering_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PROBE_INTERVAL", 0.2)
    monkeypatch.setattr(servers, "ANSWER_TIMEOUT", 0.5)
    with ScriptedServer() as server, working(Order([server.address]).worker):
        end = server.accept()
        end.greet()
        end.expect(Packet.ECHO_REQ)
        end.send(Packet.ECHO_RES, "geartrain")
        end.expect(Packet.ECHO_REQ)
        server.accept().greet()
        assert end.peer.recv_rest() == []


@uncompiled
def test_a_grab_that_is_not_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 1)
    with ScriptedServer() as hangs, RunningServer() as steady, steady.connect() as client:
        order = Order([hangs.address, f"127.0.0.1:{steady.port}"])
        with working(order.worker):
            end = hangs.accept()
            end.greet()
            end.send(Packet.NOOP)
            end.expect(Packet.GRAB_JOB_ALL)
            client.submit("note", b"x")
            client.expect(Packet.WORK_COMPLETE)
            assert end.peer.recv_rest() == []


def test_a_server_that_talks_nonsense_is_left_and_tried_again() -> None:
    with ScriptedServer() as server, working(Order([server.address]).worker):
        end = server.accept()
        end.peer.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        server.accept().greet()


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[EventDict]:
    """What is logged about servers."""
    capture = LogCapture()
    every_level = structlog.make_filtering_bound_logger(0)
    monkeypatch.setattr(
        keepalive, "_log", structlog.wrap_logger(None, processors=[capture], wrapper_class=every_level)
    )
    return capture.entries


def test_a_worker_waits_for_a_server_that_is_not_there_yet_and_says_so(logs: list[EventDict]) -> None:
    port = free_port()
    order = Order([f"127.0.0.1:{port}"])
    with working(order.worker), ExitStack() as stack:
        wait_until(lambda: any("no job server" in line["event"] for line in logs), "the worker complains")
        server = stack.enter_context(geartrain(port=port))
        client = stack.enter_context(server.connect())
        client.submit("note", b"x")
        client.expect(Packet.WORK_COMPLETE)
        (complaint,) = [line for line in logs if "no job server" in line["event"]]
    assert complaint["log_level"] == "warning"
    assert complaint["servers"] == {f"127.0.0.1:{port}": "Connection refused"}
    assert sum("trying again" in line["event"] for line in logs[: logs.index(complaint)]) == 1
    assert any("connected" in line["event"] for line in logs)


def test_a_name_that_means_nothing_is_complained_about_like_a_server_that_is_gone(
    logs: list[EventDict],
) -> None:
    address = f"{'x' * 70}.invalid:4730"
    with working(Order([address]).worker):
        wait_until(lambda: any("no job server" in line["event"] for line in logs), "the worker complains")


@uncompiled
def test_an_idle_worker_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = servers.Servers.look

    def counted(self: servers.Servers, timeout: float) -> None:
        nonlocal looks
        looks += 1
        look(self, timeout)

    monkeypatch.setattr(servers.Servers, "look", counted)
    with RunningServer() as first, RunningServer() as second, first.connect() as client:
        order = Order([f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"])
        with working(order.worker):
            client.submit("note", b"x")
            client.expect(Packet.WORK_COMPLETE)

            def still() -> bool:
                before = looks
                time.sleep(0.5)
                return looks == before

            # Connecting and the job's end have their turns, then it is quiet until the next probe.
            wait_until(still, "the worker does nothing for half a second")


def test_pauses_grow_up_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(chance=lambda: 1.0)
    pauses = [backoff.pause() for _ in range(10)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-2:] == [LONGEST_PAUSE, LONGEST_PAUSE]
    backoff.reset()
    assert backoff.pause() == FIRST_PAUSE
    assert Backoff(chance=lambda: 0.0).pause() == FIRST_PAUSE / 2


def test_a_server_that_answered_is_not_given_up_because_nobody_read_it() -> None:
    """A handler may run for longer than a server has to answer."""
    with ScriptedServer() as one, ScriptedServer() as two:
        addresses = [parse_address(one.address), parse_address(two.address)]
        servers = Servers(addresses, FunctionRegistry(), "me", 5.0)
        try:
            for server in servers._servers:
                server.due = 0.0
            while not all(server.connection for server in servers._servers):
                servers.look(1.0)
            ends = [one.accept(), two.accept()]
            for end in ends:
                end.expect(Packet.SET_CLIENT_ID, Packet.ECHO_REQ, Packet.PRE_SLEEP)
                end.send(Packet.ECHO_RES, "geartrain")
            time.sleep(0.1)
            for server in servers._servers:
                server.due = 0.0  # as after long jobs
            servers.look(0.0)
            assert all(server.connection for server in servers._servers)
            assert all(server.answered for server in servers._servers)
        finally:
            servers.close()
