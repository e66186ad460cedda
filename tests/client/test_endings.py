"""The engine without sockets: how tasks end, well or not."""

from __future__ import annotations

import pytest

from geartrain import (
    ClosedError,
    JobException,
    JobFailed,
    ServerError,
    TaskState,
    WaitTimeoutError,
)
from geartrain.client.group import Group
from geartrain.wire import packets as p
from geartrain.wire.codec import response

from .bench import Bench, Log, call_back


def test_a_failed_job_fails_its_task() -> None:
    bench, group, log = Bench(), Group(), Log()
    task = bench.submit(group=group, **log.keywords)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.WORK_FAIL, b"H:1")
    assert task.state is TaskState.FAILED
    assert isinstance(task.failure, JobFailed)
    assert task.failure.handle == "H:1"
    call_back(group)
    assert log == [("created",), ("fail", task.failure)]


def test_an_exception_tells_its_text_before_it_fails_the_task() -> None:
    bench, group, log = Bench(), Group(), Log()
    task = bench.submit(group=group, **log.keywords)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.WORK_EXCEPTION, b"H:1", b"no \xff milk")
    assert isinstance(task.failure, JobException)
    assert (task.failure.data, str(task.failure)) == (b"no \xff milk", "no \ufffd milk")
    call_back(group)
    assert log == [("created",), ("exception", b"no \xff milk"), ("fail", task.failure)]


def test_a_failed_task_is_submitted_again_as_often_as_it_says() -> None:
    bench, group, log = Bench(), Group(), Log()
    task = bench.submit(group=group, retry_count=2, **log.keywords)
    bench.open()
    for number in range(3):
        assert bench.sent() == [(p.SUBMIT_JOB, [b"f", b"", b""])]
        bench.reply(p.JOB_CREATED, b"H:%d" % number)
        assert task.handle == f"H:{number}"
        if number == 0:
            bench.reply(p.WORK_FAIL, b"H:%d" % number)
        else:
            bench.reply(p.WORK_EXCEPTION, b"H:%d" % number, b"x")
    assert bench.sent() == []
    assert (task.state, task.retries) == (TaskState.FAILED, 2)
    call_back(group)
    assert [entry[:2] for entry in log] == [
        ("created",),
        ("retry", 1),
        ("created",),
        ("exception", b"x"),
        ("retry", 2),
        ("created",),
        ("exception", b"x"),
        ("fail", task.failure),
    ]


def test_a_refused_submission_is_not_retried() -> None:
    bench = Bench()
    task = bench.submit(retry_count=5)
    bench.open()
    bench.sent()
    bench.reply(p.ERROR, b"QUEUE_ERROR", b"full")
    assert isinstance(task.failure, ServerError)
    assert task.retries == 0


def test_a_task_ends_when_its_time_is_over_and_what_comes_later_is_ignored() -> None:
    bench, group, log = Bench(), Group(), Log()
    task = bench.submit(group=group, timeout=2.0, retry_count=3, **log.keywords)
    other = bench.submit()
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    # A moment before its time is over its server is asked why.
    assert bench.engine.next_time == 101.9
    bench.wait(1.9)
    assert bench.sent() == [(p.TEXT, [b"status f"])]
    assert bench.engine.next_time == 102.0
    bench.wait(0.05)
    assert not task.done
    bench.wait(0.2)
    assert task.state is TaskState.TIMED_OUT
    assert isinstance(task.failure, WaitTimeoutError)
    bench.reply(p.JOB_CREATED, b"H:2")
    bench.reply(p.WORK_COMPLETE, b"H:1", b"late")
    bench.reply(p.WORK_COMPLETE, b"H:2", b"x")
    assert (task.result, other.result) == (None, b"x")
    call_back(group)
    assert log == [("created",), ("fail", task.failure)]


def test_time_limits_of_tasks_that_have_ended_are_forgotten() -> None:
    bench = Bench()
    bench.submit()
    bench.open()
    for number in range(10_000):
        bench.submit("f", timeout=1000.0)
        bench.sent()
        bench.reply(p.JOB_CREATED, b"H:%d" % number)
        bench.reply(p.WORK_COMPLETE, b"H:%d" % number, b"")
    assert len(bench.engine._timers) < 2000


def test_closing_ends_what_was_not_finished() -> None:
    bench = Bench()
    sent = bench.submit()
    link = bench.open()
    bench.sent()
    waiting = bench.submit()
    bench.engine.close(bench.now)
    assert isinstance(sent.failure, ClosedError)
    assert isinstance(waiting.failure, ClosedError)
    assert bench.take_unwanted() == [link]
    with pytest.raises(ClosedError):
        bench.submit()


def test_who_waits_for_an_end_is_told_of_nothing_before_it() -> None:
    bench = Bench()
    task = bench.submit()
    bench.open()
    task._waiters = ["waiter"]
    bench.sent()
    bench.receive(response(p.JOB_CREATED, b"H:1") + response(p.WORK_DATA, b"H:1\0x"))
    assert bench.engine.news == []
    bench.receive(response(p.WORK_COMPLETE, b"H:1\0"))
    assert bench.engine.news == ["waiter"]
    assert task._waiters is None


def test_who_observes_a_task_is_told_once_for_each_time_of_waiting() -> None:
    bench = Bench()
    task = bench.submit()
    task._observe()
    bench.open()
    task._waiters = ["sender"]
    bench.sent()
    assert bench.engine.news == ["sender"]
    bench.engine.news.clear()
    task._waiters = ["waiter"]
    bench.receive(response(p.JOB_CREATED, b"H:1") + response(p.WORK_DATA, b"H:1\0x"))
    assert bench.engine.news == ["waiter"]
    assert task._waiters is None
