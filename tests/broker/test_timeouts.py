"""Jobs that take longer than their time limit: late ends, and the limit on time-outs in a row."""

from __future__ import annotations

from typing import Final

import pytest

from geartrain.wire import packets as p

from .talk import Connection, Stage

NOT_FOUND: Final = b"JOB_NOT_FOUND"


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Connection:
    client = stage.connect()
    client.peer.wants_exceptions = True
    client.ask("function.set", {"function": "f", "timeout": "2s"})
    return client


def late(stage: Stage, client: Connection, *, background: bool = False) -> tuple[Connection, bytes]:
    """A worker whose time for a job is over, and the job's handle."""
    worker = stage.worker(b"f")
    handle = client.submit(b"f", b"w", background=background)
    assert worker.grab() == (handle, b"w")
    stage.go(2.1)
    function = stage.broker.functions.get(b"f")
    assert function is not None
    assert function.waiting + len(stage.broker.jobs._resting) == 1
    return worker, handle


@pytest.mark.parametrize(
    ("type", "body"), [(p.WORK_COMPLETE, b"\0result"), (p.WORK_FAIL, b""), (p.WORK_EXCEPTION, b"\0reason")]
)
def test_a_late_end_is_taken_while_the_job_waits(
    stage: Stage, client: Connection, type: int, body: bytes
) -> None:
    worker, handle = late(stage, client)
    worker.send(type, handle + body)
    assert client.told() == [(type, handle + body)]
    assert worker.told() == []
    # It ends once, and no other worker is given it.
    worker.send(type, handle + body)
    assert worker.told()[0][1].startswith(NOT_FOUND)
    assert stage.worker(b"f").grab() is None
    assert client.told() == []


def test_a_late_end_of_a_background_job_is_taken_and_its_record_goes(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "timeout": "2s", "keep_results": 60})
    worker, handle = late(stage, client, background=True)
    worker.send(p.WORK_COMPLETE, handle + b"\0result")
    stage.commit()
    assert stage.jobs == {}
    assert client.ask("outcome", handle)["attempts"] == 1


def test_a_late_end_is_refused_while_the_job_runs_elsewhere(stage: Stage, client: Connection) -> None:
    first, handle = late(stage, client)
    second = stage.worker(b"f")
    assert second.grab() == (handle, b"w")
    first.send(p.WORK_COMPLETE, handle + b"\0late")
    assert first.told()[0][1].startswith(NOT_FOUND)
    # Both are late now, and the first one to end it counts.
    stage.go(2.1)
    first.send(p.WORK_COMPLETE, handle + b"\0late")
    assert client.told() == [(p.WORK_COMPLETE, handle + b"\0late")]
    second.send(p.WORK_COMPLETE, handle + b"\0later")
    assert second.told()[0][1].startswith(NOT_FOUND)


def test_a_late_end_of_a_job_that_rests_is_taken(stage: Stage, client: Connection) -> None:
    settings = {"function": "f", "timeout": "2s", "max_attempts": 5, "backoff": "fixed 60s"}
    client.ask("function.set", settings)
    worker = stage.worker(b"f")
    handle = client.submit(b"f", b"w")
    worker.grab()
    stage.go(2.1)
    worker.send(p.WORK_COMPLETE, handle + b"\0result")
    stage.commit()
    assert worker.told() == []
    assert stage.jobs == {}
    stage.go(120)
    assert worker.grab() is None


def test_a_late_failure_is_retried_where_the_policy_says_so(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "timeout": "2s", "retry": "fail"})
    worker, handle = late(stage, client, background=True)
    worker.send(p.WORK_FAIL, handle)
    assert worker.grab() == (handle, b"w")


def test_a_late_worker_may_go_on_to_tell_of_its_job(stage: Stage, client: Connection) -> None:
    worker, handle = late(stage, client)
    worker.send(p.WORK_DATA, handle + b"\0data")
    worker.send(p.WORK_STATUS, handle + b"\x001\x002")
    assert [type for type, _ in client.told()] == [p.WORK_DATA, p.WORK_STATUS]
    assert worker.told() == []


def test_nothing_is_kept_of_late_workers_and_jobs_that_are_gone(stage: Stage, client: Connection) -> None:
    worker, handle = late(stage, client)
    job = stage.broker.jobs.by_handle.get(handle)
    assert job is not None
    stage.broker.disconnect(worker.peer)
    assert job.late_workers is None
    client.send(p.TEXT, b"cancel job " + handle)
    worker, handle = late(stage, client)
    client.send(p.TEXT, b"cancel job " + handle)
    assert worker.peer.timed_out == {}
    worker.send(p.WORK_COMPLETE, handle + b"\0late")
    assert worker.told()[0][1].startswith(NOT_FOUND)


@pytest.mark.parametrize("background", [False, True])
def test_a_job_that_times_out_again_and_again_is_given_up(
    stage: Stage, client: Connection, background: bool
) -> None:
    client.ask("function.set", {"function": "f", "timeout": "2s", "max_timeouts": 3})
    worker = stage.worker(b"f")
    handle = client.submit(b"f", b"w", background=background)
    for _ in range(3):
        assert worker.grab() == (handle, b"w")
        stage.go(2.1)
    assert worker.grab() is None
    reason = "exceeded its time limit of 2 s 3 times in a row"
    if background:
        (dead,) = client.ask("dead.list")
        assert dead["history"][-1]["reason"] == f"time-out: {reason}"
    else:
        assert client.told() == [(p.WORK_EXCEPTION, handle + f"\0the job {reason}".encode())]
    # It has ended, so a late end is refused.
    worker.send(p.WORK_COMPLETE, handle + b"\0late")
    assert worker.told()[0][1].startswith(NOT_FOUND)


def test_other_ends_of_attempts_begin_the_count_of_time_outs_anew(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "timeout": "2s", "max_timeouts": 2})
    worker, handle = late(stage, client, background=True)
    lost = stage.worker(b"f")
    assert lost.grab() == (handle, b"w")
    stage.broker.disconnect(lost.peer)
    assert worker.grab() == (handle, b"w")
    stage.go(2.1)
    assert worker.grab() == (handle, b"w")


def test_time_outs_are_counted_over_a_restart(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "timeout": "2s", "max_timeouts": 2})
    late(stage, client, background=True)
    stage.commit()
    stage.restart()
    worker = stage.worker(b"f")
    assert worker.grab() is not None
    stage.go(2.1)
    assert worker.grab() is None
    assert len(stage.connect().ask("dead.list")) == 1


def test_attempts_of_a_policy_go_before_the_limit_on_time_outs(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "timeout": "2s", "max_timeouts": 1, "max_attempts": 3})
    worker, handle = late(stage, client, background=True)
    assert worker.grab() == (handle, b"w")
