"""Attempts: how many, how far apart, what counts as one, and what becomes of a job that has none left."""

from __future__ import annotations

import pytest

from geartrain.broker.limits import Limits, Rules
from geartrain.broker.policy import Policy
from geartrain.wire import packets as p

from .talk import Connection, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Connection:
    return stage.connect()


def fail(worker: Connection) -> bytes:
    grabbed = worker.grab()
    assert grabbed is not None
    worker.send(p.WORK_FAIL, grabbed[0])
    return grabbed[0]


def test_a_job_is_dead_when_its_attempts_are_used_up_with_the_reason_of_each(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 3, "retry": ["fail", "exception"]})
    handle = client.submit(b"f", b"work")
    lost = stage.worker(b"f")
    lost.grab()
    stage.broker.disconnect(lost.peer)
    stage.go(1)
    worker = stage.worker(b"f")
    assert fail(worker) == handle
    stage.go(1)
    grabbed = worker.grab()
    assert grabbed is not None
    worker.send(p.WORK_EXCEPTION, handle, b"it broke")
    stage.commit()
    assert worker.grab() is None
    (dead,) = client.ask("dead.list")
    assert dead["handle"] == handle.decode()
    assert dead["attempts"] == 3
    assert [attempt["reason"] for attempt in dead["history"]] == [
        "worker lost",
        "fail",
        "exception: it broke",
    ]
    assert [attempt["time"] for attempt in dead["history"]] == [stage.wall - 2, stage.wall - 1, stage.wall]
    assert client.ask("dead.show", {"handle": handle.decode()})["workload"] == "work"


def test_attempts_and_the_dead_survive_a_restart(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 2, "retry": "fail"})
    client.submit(b"f", b"one")
    client.submit(b"f", b"two")
    worker = stage.worker(b"f")
    fail(worker)  # one, which stays first
    stage.commit()
    stage.restart()
    worker, client = stage.worker(b"f"), stage.connect()
    fail(worker)
    stage.commit()
    stage.restart()
    worker, client = stage.worker(b"f"), stage.connect()
    (dead,) = client.ask("dead.list")
    assert len(dead["history"]) == 2
    assert (worker.grab() or b"")[1] == b"two"


def test_more_attempts_than_a_history_tells_of_are_counted_across_a_restart(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 300, "retry": "fail"})
    handle = client.submit(b"f")
    for _ in range(250):
        fail(stage.worker(b"f"))
    stage.commit()
    stage.restart()
    client = stage.connect()
    assert client.ask("outcome", handle)["attempts"] == 250
    for _ in range(50):
        fail(stage.worker(b"f"))
    assert client.ask("outcome", handle)["state"] == "dead"


def test_without_a_policy_a_job_that_failed_has_failed_and_one_that_lost_its_worker_goes_on(
    stage: Stage, client: Connection
) -> None:
    handle = client.submit(b"f")
    for _ in range(20):
        lost = stage.worker(b"f")
        assert (lost.grab() or b"")[0] == handle
        stage.broker.disconnect(lost.peer)
    fail(stage.worker(b"f"))
    stage.commit()
    assert stage.jobs == {}
    assert client.ask("dead.list") == []


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        ("fixed 5s", [5, 5, 5, 5]),
        ("linear 1s 3s", [1, 2, 3, 3]),
        ("exponential 1s 5s", [1, 2, 4, 5]),
        ("none", [0, 0, 0, 0]),
    ],
)
def test_a_job_rests_between_attempts(
    stage: Stage, client: Connection, backoff: str, delays: list[int]
) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 9, "retry": "fail", "backoff": backoff})
    client.submit(b"f")
    worker = stage.worker(b"f")
    for delay in delays:
        fail(worker)
        if delay:
            stage.go(delay - 0.01)
            assert worker.grab() is None
            stage.go(delay * 0.1 + 0.02)  # what is added so that jobs do not return together


def test_jobs_that_failed_together_do_not_return_together() -> None:
    policy = Policy()
    policy.update({"backoff": "fixed 10s"})
    delays = {policy.delay(1, b"H:here:%d" % number) for number in range(100)}
    assert len(delays) > 50
    assert all(10 <= delay <= 11 for delay in delays)


def test_a_rest_goes_by_a_clock_that_nobody_sets(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 9, "retry": "fail", "backoff": "fixed 10s"})
    client.submit(b"f")
    worker = stage.worker(b"f")
    fail(worker)
    stage.wall += 86_400
    stage.go(1)
    assert worker.grab() is None
    stage.wall -= 2 * 86_400
    stage.go(10.5)
    assert worker.grab() is not None
    stage.broker.disconnect(worker.peer)
    stage.commit()
    stage.wall -= 86_400  # and the server was down meanwhile
    stage.restart()
    worker = stage.worker(b"f")
    stage.go(11.5)
    assert worker.grab() is not None


def test_a_time_out_of_the_policy_is_an_attempt(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "timeout": "2s", "max_attempts": 2})
    handle = client.submit(b"f")
    worker = stage.worker(b"f")
    for _ in range(2):
        assert worker.grab() is not None
        stage.go(1.9)
        assert client.ask("outcome", handle)["state"] == "running"
        stage.go(0.2)
    assert [attempt["reason"] for attempt in client.ask("outcome", handle)["history"]] == ["time-out"] * 2
    worker.told()
    worker.send(p.WORK_COMPLETE, handle, b"too late")
    assert worker.told()[0][0] == p.ERROR


def test_a_foreground_job_without_attempts_left_fails_and_is_never_dead(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 1, "retry": "fail"})
    handle = client.submit(b"f", background=False)
    lost = stage.worker(b"f")
    lost.grab()
    stage.broker.disconnect(lost.peer)
    assert client.told() == [(p.WORK_FAIL, handle)]
    assert client.ask("dead.list") == []


def test_the_dead_are_queued_again_with_all_attempts_or_dropped(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 1, "retry": "fail"})
    handles = [client.submit(b"f", b"%d" % number).decode() for number in range(4)]
    for _ in handles:
        fail(stage.worker(b"f"))
    assert client.ask("dead.requeue", {"handle": handles[0]}) == {"requeued": 1}
    assert client.ask("dead.drop", {"handle": handles[1]}) == {"dropped": 1}
    assert client.ask("dead.drop", {"function": "other"}) == {"dropped": 0}
    with pytest.raises(ValueError, match="no dead job has this handle"):
        client.ask("dead.drop", {"handle": handles[1]})
    with pytest.raises(ValueError, match="say 'all'"):
        client.ask("dead.drop")
    assert len(client.ask("dead.list", {"limit": 1})) == 1
    stage.restart()
    client = stage.connect()
    assert client.ask("outcome", handles[0].encode())["attempts"] == 0
    assert client.ask("dead.requeue", {"all": True}) == {"requeued": 2}
    assert len(stage.broker.jobs) == 3


def test_an_old_job_that_is_written_again_takes_no_number_back(stage: Stage, client: Connection) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 9, "retry": "fail"})
    client.submit(b"f", b"old")
    stage.restart()
    stage.connect().submit(b"f", b"newer")
    reserved = int(stage.documents["server", "numbers"])
    stage.restart()
    fail(stage.worker(b"f"))  # the old one
    stage.commit()
    assert int(stage.documents["server", "numbers"]) >= reserved


def test_a_dead_job_of_a_function_that_was_forgotten_goes_to_the_one_of_its_name(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 1, "retry": "fail"})
    client.submit(b"f", b"w")
    worker = stage.worker(b"f")
    fail(worker)
    stage.broker.disconnect(worker.peer)
    client.send(p.TEXT, b"drop function f")
    worker = stage.worker(b"f")
    (row,) = client.ask("function.list")
    assert row["dead"] == 1
    assert client.ask("dead.requeue", {"all": True}) == {"requeued": 1}
    grabbed = worker.grab()
    assert grabbed is not None
    assert grabbed[1] == b"w"
    worker.send(p.WORK_COMPLETE, grabbed[0], b"")
    assert worker.grab() is None
    assert len(stage.broker.jobs) == 0


def test_a_dead_job_that_is_queued_again_has_no_outcome_until_it_ends_again(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "max_attempts": 1, "retry": "fail", "keep_results": 60})
    handle = client.submit(b"f")
    fail(stage.worker(b"f"))
    assert client.ask("outcome", handle)["state"] == "fail"
    client.ask("dead.requeue", {"handle": handle.decode()})
    assert client.ask("outcome", handle)["state"] == "queued"
    stage.restart()
    assert stage.connect().ask("outcome", handle)["state"] == "queued"


def test_the_oldest_of_the_dead_go_when_they_take_too_much_memory() -> None:
    told: list[str] = []
    stage = Stage(Limits(max_dead_bytes=3000))
    stage.broker.jobs.notice = lambda job, what: told.append(f"{job.workload[:1].decode()} {what}")
    client = stage.connect()
    client.ask("function.set", {"function": "f", "max_attempts": 1, "retry": "fail"})
    handles = [client.submit(b"f", b"%d" % number * 700) for number in range(4)]
    for _ in handles:
        fail(stage.worker(b"f"))
    stage.commit()
    assert [row["handle"].encode() for row in client.ask("dead.list")] == handles[2:]
    assert [text for text in told if "dropped" in text] == [
        f"{number} was dropped: there are too many dead ones" for number in range(2)
    ]
    assert len(stage.jobs) == 2
    client.ask("dead.drop", {"all": True})
    client.submit(b"f", b"x" * 5000)
    fail(stage.worker(b"f"))
    assert len(client.ask("dead.list")) == 1  # the last one stays, however large it is


def test_a_job_that_is_given_back_goes_before_those_that_wait_where_one_runs_at_a_time(stage: Stage) -> None:
    stage = Stage(rules=Rules(patient=True))
    client = stage.connect()
    client.ask("function.set", {"function": "f", "concurrency": 1})
    first, second = client.submit(b"f", b"1"), client.submit(b"f", b"2")
    other = client.submit(b"g")
    lost = stage.worker(b"f")
    assert lost.grab() == (first, b"1")
    patient = stage.worker(b"f", b"g")
    assert patient.grab() == (other, b"")
    patient.send(p.WORK_COMPLETE, other, b"")
    patient.send(p.GRAB_JOB)
    assert patient.told() == []
    stage.broker.disconnect(lost.peer)
    ((type, body),) = patient.told()
    assert (type, body.split(b"\0")[0]) == (p.JOB_ASSIGN, first)
    patient.send(p.WORK_COMPLETE, first, b"")
    assert patient.grab() == (second, b"2")
