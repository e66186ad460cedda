"""What gathers for the journal while a commit takes its time."""

from __future__ import annotations

import gc

from geartrain.broker.ledger import MOST_ANSWERS
from geartrain.broker.state import Job
from geartrain.wire import packets as p

from .talk import Connection, Stage


def _begin(stage: Stage) -> Connection:
    """A commit that is on its way, so that all that follows gathers."""
    client = stage.connect()
    client.send(p.SUBMIT_JOB_BG, b"f", b"", b"in flight")
    assert stage.broker.commit_is_due
    stage.write(stage.broker.take_batch())
    return client


def _end(stage: Stage) -> None:
    stage.broker.committed()
    stage.commit()


def test_jobs_that_ended_while_they_gathered_are_not_written() -> None:
    stage = Stage()
    client = _begin(stage)
    worker = stage.worker(b"f")
    for workload in (b"one", b"two", b"three"):
        client.send(p.SUBMIT_JOB_BG, b"f", b"", workload)
    for expected in (b"in flight", b"one"):
        job = worker.grab()
        assert job is not None
        assert job[1] == expected
        worker.send(p.WORK_COMPLETE, job[0], b"")
    _end(stage)
    assert [record.workload for record in stage.jobs.values()] == [b"two", b"three"]


def test_a_job_that_changed_while_it_gathered_is_written_once_as_it_became() -> None:
    stage = Stage()
    stage.connect().ask(
        "function.set", {"function": "f", "max_attempts": 2, "backoff": "exponential 60s 60s"}
    )
    client = _begin(stage)
    client.send(p.SUBMIT_JOB_BG, b"g", b"", b"before")
    client.send(p.SUBMIT_JOB_BG, b"f", b"", b"tried")
    client.send(p.SUBMIT_JOB_BG, b"g", b"", b"behind")
    worker = stage.worker(b"f")
    handles = []
    while (job := worker.grab()) is not None:
        handles.append(job[0])
        if job[1] == b"tried":
            break
    stage.broker.disconnect(worker.peer)
    stage.broker.committed()
    batch = stage.broker.take_batch()
    tried = [record for record in batch.again.values() if record.workload == b"tried"]
    assert len(tried) == 1
    assert tried[0].history
    assert [record.workload for record in batch.new.records()] == [b"before", b"behind"]
    assert len(handles) == 2


def test_nothing_stays_of_many_jobs_that_ended_while_they_gathered() -> None:
    """A disk that hangs must not keep what nobody waits for any more."""
    stage = Stage()
    client = _begin(stage)
    worker = stage.worker(b"f")
    for _ in range(10_000):
        client.send(p.SUBMIT_JOB_BG, b"f", b"", b"w")
        job = worker.grab()
        assert job is not None
        worker.send(p.WORK_COMPLETE, job[0], b"")
    function = stage.broker.functions.known(b"f")
    assert sum(isinstance(each, Job) and each.function is function for each in gc.get_objects()) < 5000
    _end(stage)
    assert len(stage.broker.jobs) == 1


def test_what_the_servers_own_functions_answer_is_bounded_while_it_waits_for_a_commit() -> None:
    stage = Stage()
    _begin(stage)
    asker = stage.connect()
    asker.peer.wants_exceptions = True
    question = b'geartrain.function.set\0\0{"function": "f", "max_queue": %d}'
    most = MOST_ANSWERS // 200
    for number in range(most):
        stage.broker.receive(asker.peer, p.SUBMIT_JOB, question % number)
    ends = [type for type, _ in asker.told() if type != p.JOB_CREATED]
    assert ends == [p.WORK_EXCEPTION] * len(ends)
    assert 0 < len(ends) < most
    _end(stage)
    assert [type for type, _ in asker.told()] == [p.WORK_COMPLETE] * (most - len(ends))
