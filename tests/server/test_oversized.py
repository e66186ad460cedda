"""Packets over the limit of their reader: the job fails with a sentence, and the connection goes on."""

from __future__ import annotations

import pytest

from geartrain import Client, Job, JobException, PacketTooLargeError, Worker
from geartrain.server import ServerOptions
from geartrain.server.options import Limits
from geartrain.wire import packets as p
from geartrain.wire.parser import Parser, read_oversized
from geartrain.worker.engine.engine import WorkerEngine
from tests.harness.form import uncompiled
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer, encode
from tests.worker.running import working as working_on

from .running import RunningServer

LIMIT = 64 * 1024


def serve(**more: object) -> RunningServer:
    return RunningServer(ServerOptions(port=0, limits=Limits(packet=LIMIT), **more))  # type: ignore[arg-type]


def working(running: RunningServer, client: RawPeer, *, background: bool = False) -> tuple[RawPeer, bytes]:
    """A worker with a job in hand, and the job's handle."""
    client.send(Packet.OPTION_REQ, "exceptions")
    client.expect(Packet.OPTION_RES)
    handle = client.submit("f", type=Packet.SUBMIT_JOB_BG if background else Packet.SUBMIT_JOB)
    worker = running.connect()
    worker.can_do("f")
    assert worker.grab().handle == handle
    return worker, handle


@pytest.mark.parametrize(
    ("type", "thing"),
    [
        (Packet.WORK_COMPLETE, "result"),
        (Packet.WORK_EXCEPTION, "exception"),
        (Packet.WORK_DATA, "data"),
        (Packet.WORK_WARNING, "warning"),
        (Packet.WORK_STATUS, "status"),
        (Packet.WORK_FAIL, "failure"),
    ],
)
@pytest.mark.parametrize("size", [LIMIT, 3_000_000])
def test_a_job_whose_packet_is_too_large_fails_and_its_worker_goes_on(
    type: Packet, thing: str, size: int
) -> None:
    with serve() as running, running.connect() as client:
        worker, handle = working(running, client)
        worker.send(type, handle, bytes(size))
        told, sentence = client.expect(Packet.WORK_EXCEPTION)
        body = size + len(handle) + 1
        assert told == handle
        assert sentence.decode() == (
            f"the {thing} ({type.name}) of {body} bytes is over the server's limit of {LIMIT} bytes"
        )
        # The job does not run again, and the connection takes the next one.
        worker.grab_nothing()
        following = client.submit("f", "next")
        assert worker.grab().handle == following
        worker.complete(following, b"done")
        client.expect(Packet.WORK_COMPLETE, following, b"done")
        worker.close()


def test_a_background_job_with_too_large_a_result_is_dead_and_says_why() -> None:
    with serve(keep_results=60.0) as running, running.connect() as client:
        worker, handle = working(running, client, background=True)
        worker.send(Packet.WORK_COMPLETE, handle, bytes(LIMIT))
        worker.grab_nothing()
        with Client(str(running.server.addresses[0])) as asking:
            with pytest.raises(JobException, match="over the server's limit of 65536 bytes"):
                asking.result(handle.decode())
            dead = asking.run("geartrain.dead.list", b"{}").decode()
        assert "over the server's limit" in dead
        worker.close()


def test_a_client_that_did_not_ask_for_exceptions_is_told_of_a_failure() -> None:
    with serve() as running, running.connect() as client, running.connect() as worker:
        handle = client.submit("f")
        worker.can_do("f")
        worker.grab()
        worker.send(Packet.WORK_COMPLETE, handle, bytes(LIMIT))
        client.expect(Packet.WORK_FAIL, handle)


def test_a_submission_that_is_too_large_is_refused_and_the_client_goes_on() -> None:
    with serve() as running, running.connect() as client:
        for type in (Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_LOW_BG):
            client.send(type, "f", "", bytes(3_000_000))
            client.expect_error("ARGUMENT_TOO_LARGE")
        client.submit("f")


def test_an_oversized_end_of_a_job_that_is_not_the_workers_is_refused() -> None:
    with serve() as running, running.connect() as worker:
        worker.send(Packet.WORK_COMPLETE, "H:nobody:1", bytes(LIMIT))
        worker.expect_error("JOB_NOT_FOUND")


def test_other_packets_over_the_limit_end_the_connection() -> None:
    with serve() as running, running.connect() as peer:
        peer.send(Packet.ECHO_REQ, bytes(LIMIT + 1))
        peer.expect_error("ARGUMENT_TOO_LARGE")
        peer.expect_closed()


@pytest.mark.parametrize("chunk", [1, 7, 100, 5000])
def test_an_oversized_packet_is_skipped_however_it_is_split(chunk: int) -> None:
    big = encode(Packet.WORK_COMPLETE, "H:h:1", bytes(3000))
    data = (
        encode(Packet.GRAB_JOB)
        + big
        + encode(Packet.WORK_FAIL, "H:h:2")
        + big
        + big
        + encode(Packet.PRE_SLEEP)
    )
    parser = Parser(p.REQUEST, 1000)
    packets = []
    most = 0
    for start in range(0, len(data), chunk):
        packets += parser.feed(data[start : start + chunk])
        most = max(most, parser.unfinished)
    assert [type for type, _ in packets] == [
        p.GRAB_JOB, p.OVERSIZED, p.WORK_FAIL, p.OVERSIZED, p.OVERSIZED, p.PRE_SLEEP,
    ]  # fmt: skip
    found = read_oversized(packets[1][1])
    assert (found.type, found.size, found.limit, found.handle) == (p.WORK_COMPLETE, 3006, 1000, b"H:h:1")
    assert parser.idle
    assert most < 20_000


def test_a_worker_ends_a_job_whose_workload_is_over_its_own_limit() -> None:
    engine = WorkerEngine("server", max_packet=1000)
    engine.connected({})
    engine.grab()
    assert engine.receive(encode(Packet.JOB_ASSIGN, "H:h:1", "f", bytes(2000), magic=b"\0RES")) is None
    assert engine.reply.startswith(b"\0REQ\0\0\0\x19")
    assert (
        b"H:h:1\0the workload (JOB_ASSIGN) of 2008 bytes is over the worker's limit of 1000 bytes"
        in engine.reply
    )
    assert engine.running == set()


@uncompiled
def test_a_client_that_can_not_take_a_result_fails_that_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geartrain.client.engine.Parser", lambda magic: Parser(magic, 1000))
    with RunningServer(ServerOptions(port=0)) as running:
        address = str(running.server.addresses[0])
        with running.connect() as worker, Client(address) as client:
            worker.can_do("f")
            futures = [client.submit("f", text) for text in (b"large", b"small")]
            wait_until(lambda: all(future.handle for future in futures), "both are queued")
            for size in (5000, 10):
                worker.complete(worker.grab().handle, bytes(size))
            with pytest.raises(PacketTooLargeError, match="1000"):
                futures[0].result(timeout=10)
            assert futures[1].result(timeout=10) == bytes(10)


def test_a_function_of_ours_with_too_large_a_result_runs_once() -> None:
    with serve() as running:
        address = str(running.server.addresses[0])
        worker = Worker(address)
        runs: list[bytes] = []

        @worker.function("big")
        def big(job: Job) -> bytes:
            runs.append(job.workload)
            return bytes(3_000_000)

        with working_on(worker), Client(address) as client:
            with pytest.raises(JobException, match=r"result \(WORK_COMPLETE\) of \d+ bytes is over"):
                client.run("big", timeout=30)
            with pytest.raises(JobException, match="is over"):
                client.run("big", timeout=30)
        assert len(runs) == 2
