"""What a handler tells the client while it runs, and how it learns that its job is not its own any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from geartrain import ConnectionLostError, Job, JobLostError, Worker
from geartrain.worker import job as job_module
from geartrain.worker.engine import keepalive
from geartrain.worker.sync import connection
from tests.harness.form import uncompiled
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import SERVERS
from tests.server.running import RunningServer

from .running import ScriptedServer, WorkerEnd, working


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


class Catcher:
    """Handlers that go on until an event raises, and keep what it raised."""

    def __init__(self, server: ScriptedServer) -> None:
        self.worker = Worker(server.address)
        self.worker.register("stream", self.stream)
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def stream(self, job: Job) -> None:
        try:
            while True:
                job.data(b"x" * 1000)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()

    def work_for(self, server: ScriptedServer) -> WorkerEnd:
        end = server.accept()
        end.greet()
        end.assign("stream")
        return end


def test_events_are_sent_at_once_and_in_order() -> None:
    go_on = threading.Event()

    def tell(job: Job) -> str:
        job.status(1, 3)
        job.data(b"a\0b")
        job.data("text")
        number: Any = 5
        with pytest.raises(TypeError, match="5: what is sent is bytes or str"):
            job.data(number)
        job.warning("careful")
        assert go_on.wait(10)
        job.status(3, 3)
        return "result"

    with RunningServer() as server, server.connect() as client:
        worker = Worker(f"127.0.0.1:{server.port}")
        worker.register("tell", tell)
        with working(worker):
            handle = client.submit("tell")
            client.expect(Packet.WORK_STATUS, handle, 1, 3)
            client.expect(Packet.WORK_DATA, handle, b"a\0b")
            client.expect(Packet.WORK_DATA, handle, "text")
            client.expect(Packet.WORK_WARNING, handle, "careful")
            go_on.set()
            client.expect(Packet.WORK_STATUS, handle, 3, 3)
            client.expect(Packet.WORK_COMPLETE, handle, "result")


def test_events_from_several_threads_do_not_mix() -> None:
    threads, each = 4, 200

    def tell(job: Job) -> None:
        def send(letter: bytes) -> None:
            for _ in range(each):
                job.data(letter * 5000)

        senders = [threading.Thread(target=send, args=(b"%c" % (97 + number),)) for number in range(threads)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    with RunningServer() as server, server.connect() as client:
        worker = Worker(f"127.0.0.1:{server.port}")
        worker.register("tell", tell)
        with working(worker):
            handle = client.submit("tell")
            for _ in range(threads * each):
                _, data = client.expect(Packet.WORK_DATA, handle, ...)
                assert data == data[:1] * 5000
            client.expect(Packet.WORK_COMPLETE, handle, "")


def test_a_large_stream_of_data_arrives_whole() -> None:
    piece, pieces = bytes(range(256)) * 4096, 32

    def stream(job: Job) -> bytes:
        for _ in range(pieces):
            job.data(piece)
        return piece

    with RunningServer() as server, server.connect() as client:
        worker = Worker(f"127.0.0.1:{server.port}")
        worker.register("stream", stream)
        with working(worker):
            handle = client.submit("stream")
            for _ in range(pieces):
                assert client.expect(Packet.WORK_DATA, handle, ...)[1] == piece
            assert client.expect(Packet.WORK_COMPLETE, handle, ...)[1] == piece


def test_a_server_that_answers_every_event_with_an_error_ends_the_stream(server: ScriptedServer) -> None:
    catcher = Catcher(server)
    with working(catcher.worker):
        end = catcher.work_for(server)
        end.expect(Packet.WORK_DATA)
        end.send(Packet.ERROR, "JOB_NOT_FOUND", "it was too slow")
        while (packet := end.peer.recv()).type == Packet.WORK_DATA:
            pass
        # The server refuses it, unless it has meant another job.
        assert packet.type == Packet.WORK_FAIL
        end.expect(Packet.GRAB_JOB_ALL)
        end.send(Packet.NO_JOB)
    assert isinstance(catcher.error, JobLostError)
    assert catcher.error.handle == "H:test:1"


def test_a_stream_waits_for_a_slow_server_and_reads_what_it_says(server: ScriptedServer) -> None:
    catcher = Catcher(server)
    with working(catcher.worker):
        end = catcher.work_for(server)
        end.peer.socket.settimeout(None)
        # Nothing is read here, so the stream stands still before it could buffer all of this.
        for _ in range(2000):
            end.peer.socket.sendall(b"\0RES\0\0\0\x13\0\0\0\x10QUEUE_ERROR\0full")
        assert not catcher.ended.is_set()
        end.send(Packet.ERROR, "JOB_NOT_FOUND", "it was too slow")
        while (packet := end.peer.recv()).type == Packet.WORK_DATA:
            pass
        assert packet.type == Packet.WORK_FAIL
        end.expect(Packet.GRAB_JOB_ALL)
        end.send(Packet.NO_JOB)
    assert isinstance(catcher.error, JobLostError)


@uncompiled
def test_a_stream_to_a_server_that_takes_nothing_ends(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 0.2)
    catcher = Catcher(server)
    with working(catcher.worker):
        catcher.work_for(server)
        assert catcher.ended.wait(10)
    assert isinstance(catcher.error, JobLostError)
    assert "accepted nothing" in str(catcher.error)


def test_a_stream_ends_when_the_server_is_gone(server: ScriptedServer) -> None:
    catcher = Catcher(server)
    with working(catcher.worker):
        catcher.work_for(server).peer.close()
        assert catcher.ended.wait(10)
        server.accept().greet()
    assert isinstance(catcher.error, JobLostError)


def test_every_event_of_a_lost_job_raises(server: ScriptedServer) -> None:
    errors: list[BaseException] = []
    gone = threading.Event()

    def stubborn(job: Job) -> None:
        assert gone.wait(10)
        for tell in (partial(job.status, 1, 2), partial(job.data, b"x"), partial(job.warning, "x")):
            try:
                while True:
                    tell()
            except JobLostError as error:
                errors.append(error)

    worker = Worker(server.address)
    worker.register("stubborn", stubborn)
    with working(worker):
        end = server.accept()
        end.greet()
        end.assign("stubborn")
        end.peer.close()
        gone.set()
        server.accept().greet()
    assert len(errors) == 3
    assert not isinstance(errors[0], ConnectionLostError)


def test_a_job_that_has_ended_takes_no_more_events() -> None:
    kept: list[Job] = []
    with RunningServer() as server, server.connect() as client, Worker(f"127.0.0.1:{server.port}") as worker:
        worker.register("keep", kept.append)
        for _ in range(2):
            client.submit("keep")
            assert worker.work_one(10)
            client.expect(Packet.WORK_COMPLETE)
        with pytest.raises(RuntimeError, match="has ended"):
            kept[0].status(1, 2)
        client.sync()


@pytest.mark.parametrize("returns", ["before", "after"])
def test_a_handler_may_return_before_and_after_the_server_has_read_the_end_told_from_outside(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, returns: str
) -> None:
    monkeypatch.setattr(keepalive, "FAREWELL_TIMEOUT", 10)
    worker = Worker(server.address)
    go_on = threading.Event()
    watches: list[threading.Thread] = []

    @worker.function("late")
    def late(job: Job) -> str:
        watches.append(
            threading.Thread(target=job.end_from_outside, args=(Packet.WORK_EXCEPTION, b"too late"))
        )
        watches[0].start()
        assert go_on.wait(10)
        return "all the same"

    with working(worker):
        end = server.accept()
        end.greet()
        end.assign("late")
        assert end.expect(Packet.WORK_EXCEPTION) == [(b"H:test:1", b"too late")]
        worker.stop()
        if returns == "before":
            go_on.set()
            watches[0].join(0.2)
            assert watches[0].is_alive(), "it waits until the server has hung up"
        assert end.peer.recv_rest() == []
        end.peer.close()
        watches[0].join(10)
        assert not watches[0].is_alive()
        go_on.set()


@pytest.mark.parametrize("kind", ["geartrain", "gearmand-c"])
def test_a_job_that_another_worker_was_given_raises_in_the_handler_that_was_late(kind: str) -> None:
    runs: list[BaseException | None] = []

    def slow(job: Job) -> str:
        if not runs:
            runs.append(None)
            try:
                while True:
                    threading.Event().wait(0.05)
                    job.status(1, 2)
            except JobLostError as error:
                runs[0] = error
                raise
        return "the second time"

    with SERVERS[kind]() as server, server.connect() as client:
        workers = [Worker(server.address), Worker(server.address)]
        for worker in workers:
            worker.register("slow", slow, timeout=1)
        with working(workers[0]), working(workers[1]):
            client.submit("slow")
            while (packet := client.recv()).type == Packet.WORK_STATUS:
                pass
            assert packet.args[1] == b"the second time"
            wait_until(lambda: runs[0] is not None, "the late handler notices")
    (error,) = runs
    assert isinstance(error, JobLostError)


def test_an_event_that_no_server_would_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "LARGEST_BODY", 1000)

    def tell(job: Job) -> None:
        job.data(bytes(1000))
        job.data(bytes(1001))

    with RunningServer() as server, server.connect() as client, Worker(f"127.0.0.1:{server.port}") as worker:
        client.send(Packet.OPTION_REQ, "exceptions")
        client.expect(Packet.OPTION_RES)
        worker.register("tell", tell)
        handle = client.submit("tell")
        assert worker.work_one(10)
        client.expect(Packet.WORK_DATA, handle, bytes(1000))
        client.expect(Packet.WORK_EXCEPTION, handle, "1001 bytes in one packet: 1000 are the most")
