"""Kept results: how a background job ended, for whoever asks while it is kept, and whoever waits."""

from __future__ import annotations

import pytest

from geartrain.broker.results import COMPLETE, Outcome, Results
from geartrain.wire import packets as p

from .talk import Connection, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Connection:
    client = stage.connect()
    client.ask("function.set", {"function": "f", "keep_results": "60s"})
    return client


def work(stage: Stage, type: int, *data: bytes) -> None:
    worker = stage.worker(b"f")
    grabbed = worker.grab()
    assert grabbed is not None
    worker.send(p.WORK_STATUS, grabbed[0], b"3", b"4")
    worker.send(type, grabbed[0], *data)
    stage.commit()
    stage.broker.disconnect(worker.peer)


def ask_for(connection: Connection, handle: bytes) -> tuple[int, bytes] | None:
    """The end of a job to `geartrain.result`, without its handle; None: it has not ended."""
    connection.told()
    connection.send(p.SUBMIT_JOB, b"geartrain.result", b"", handle)
    _, *rest = connection.told()
    return (rest[0][0], rest[0][1].partition(b"\0")[2]) if rest else None


def test_each_kind_of_end_is_kept_for_any_client_across_a_restart(stage: Stage, client: Connection) -> None:
    handles = [client.submit(b"f") for _ in range(3)]
    work(stage, p.WORK_COMPLETE, b"\0\xff result")
    work(stage, p.WORK_FAIL)
    work(stage, p.WORK_EXCEPTION, b"it broke")
    stage.restart()
    client = stage.connect()
    client.peer.wants_exceptions = True
    assert ask_for(client, handles[0]) == (p.WORK_COMPLETE, b"\0\xff result")
    assert ask_for(client, handles[1]) == (p.WORK_FAIL, b"")
    assert ask_for(client, handles[2]) == (p.WORK_EXCEPTION, b"it broke")
    shown = client.ask("outcome", handles[2])
    assert (shown["state"], shown["data"], shown["numerator"]) == ("exception", "it broke", 3)
    assert client.ask("outcome", handles[0])["data_base64"] == "AP8gcmVzdWx0"


def test_a_result_is_gone_when_its_time_is_over(stage: Stage, client: Connection) -> None:
    handle = client.submit(b"f")
    work(stage, p.WORK_COMPLETE, b"result")
    stage.go(59)
    assert ask_for(client, handle) == (p.WORK_COMPLETE, b"result")
    stage.go(1)
    client.peer.wants_exceptions = True
    assert ask_for(client, handle) == (
        p.WORK_EXCEPTION,
        handle + b": no job or kept result has this handle",
    )
    assert not any(kind == "result" for kind, _ in stage.documents)


def test_whoever_asks_early_waits_for_the_end_whatever_is_kept(stage: Stage) -> None:
    client, other = stage.connect(), stage.connect()
    handle = client.submit(b"f")
    assert ask_for(client, handle) is None
    assert ask_for(other, handle) is None
    stage.broker.disconnect(other.peer)
    work(stage, p.WORK_COMPLETE, b"result")
    ((type, body),) = client.told()
    assert (type, body.partition(b"\0")[2]) == (p.WORK_COMPLETE, b"result")


def test_a_foreground_job_can_be_waited_for_too(stage: Stage, client: Connection) -> None:
    waiting = stage.connect()
    handle = client.submit(b"f", background=False)
    assert ask_for(waiting, handle) is None
    stage.broker.disconnect(client.peer)  # it was its only client, so the job is dropped
    assert [type for type, _ in waiting.told()] == [p.WORK_FAIL]


def test_a_dead_job_has_failed(stage: Stage) -> None:
    client = stage.connect()
    client.ask("function.set", {"function": "f", "max_attempts": 1, "retry": "fail"})
    handle = client.submit(b"f")
    work(stage, p.WORK_FAIL)
    assert ask_for(client, handle) == (p.WORK_FAIL, b"")


def test_whoever_waits_for_a_running_job_hears_that_it_was_cancelled(stage: Stage) -> None:
    client, early, late = stage.connect(), stage.connect(), stage.connect()
    handle = client.submit(b"f", background=False)
    worker = stage.worker(b"f")
    worker.grab()
    assert ask_for(early, handle) is None
    client.send(p.TEXT, b"cancel job " + handle)
    assert [type for type, _ in early.told()] == [p.WORK_FAIL]
    assert ask_for(late, handle) == (p.WORK_FAIL, b"")
    worker.send(p.WORK_COMPLETE, handle, b"nobody wants it")
    assert early.told() == late.told() == []


def test_a_peer_that_waits_for_a_result_is_not_idle(stage: Stage, client: Connection) -> None:
    waiting = stage.connect()
    handle = client.submit(b"f")
    idle = [waiting.peer.is_idle]
    ask_for(waiting, handle)
    idle.append(waiting.peer.is_idle)
    work(stage, p.WORK_COMPLETE, b"")
    idle.append(waiting.peer.is_idle)
    assert idle == [True, False, True]


def test_a_large_result_is_one_piece_of_memory_for_all_who_wait_for_it(stage: Stage) -> None:
    client = stage.connect()
    handle = client.submit(b"f", background=False)
    for _ in range(9):
        client.send(p.SUBMIT_JOB, b"geartrain.result", b"", handle)
    client.told()
    worker = stage.worker(b"f")
    worker.grab()
    worker.send(p.WORK_COMPLETE, handle, b"x" * 1_000_000)
    # The worker's packet itself for the client, and what it held of data for the others.
    pieces = {id(piece) for piece in client.peer.outbox if len(piece) >= 1_000_000}
    assert len(pieces) == 2
    assert [len(body) for _, body in client.told()] == [1_000_000 + len(handle) + 1] * 10


def outcome(number: int, data: bytes = b"", expires: float = 100.0) -> Outcome:
    return Outcome(b"H:here:%d" % number, b"f", COMPLETE, data, 0, 0, 1, 0.0, 0.0, 0.0, expires)


def test_results_are_bounded_in_number_and_bytes_and_the_oldest_goes_first() -> None:
    results = Results(max_results=3, max_bytes=100)
    for number in range(4):
        gone = results.put(outcome(number, b"d" * 10))
    assert gone == [b"H:here:0"]
    assert results.put(outcome(4, b"d" * 85)) == [b"H:here:1", b"H:here:2"]
    assert len(results) == 2
    assert not results.can_hold(b"d" * 101)


def test_a_job_that_ends_again_replaces_its_result() -> None:
    results = Results(max_results=3, max_bytes=100)
    for _ in range(50):
        assert results.put(outcome(1, b"d" * 60)) == []
    assert len(results) == 1


def test_results_expire_by_their_own_times_whatever_came_first() -> None:
    results = Results()
    for number in range(2000):
        results.put(outcome(number, expires=1e9))
    results.put(outcome(5000, expires=10.0))
    assert results.get(b"H:here:5000", 10.0) is None
    assert results.expire(10.0) == [b"H:here:5000"]
    assert len(results) == 2000
