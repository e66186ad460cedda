"""The engine without sockets: what it sends, and what packets do to tasks."""

from __future__ import annotations

import random
from typing import Any

import pytest

from geartrain import (
    JobException,
    ServerError,
    Task,
    TaskState,
)
from geartrain.client.engine import CHUNK
from geartrain.client.group import Group
from geartrain.client.link import Question
from geartrain.wire import packets as p
from geartrain.wire.codec import response
from tests.harness.form import uncompiled

from .bench import Bench, Log, call_back

# What is sent


@pytest.mark.parametrize(
    ("keywords", "type"),
    [
        ({}, p.SUBMIT_JOB),
        ({"priority": "high"}, p.SUBMIT_JOB_HIGH),
        ({"priority": "low"}, p.SUBMIT_JOB_LOW),
        ({"background": True}, p.SUBMIT_JOB_BG),
        ({"background": True, "priority": "high"}, p.SUBMIT_JOB_HIGH_BG),
        ({"background": True, "priority": "low"}, p.SUBMIT_JOB_LOW_BG),
    ],
)
def test_each_kind_of_task_has_its_packet(keywords: dict[str, Any], type: int) -> None:
    bench = Bench()
    task = bench.submit("f", b"w\0w", unique="u", **keywords)
    bench.open()
    assert task.state.value == "waiting"
    assert bench.sent() == [(type, [b"f", b"u", b"w\0w"])]
    assert task.state.value == "submitted"


def test_a_task_that_is_put_off_carries_the_second_from_which_on_it_may_run() -> None:
    bench = Bench()
    bench.submit("f", b"w", background=True, at=1234.2)
    bench.open()
    assert bench.sent() == [(p.SUBMIT_JOB_EPOCH, [b"f", b"", b"1235", b"w"])]


def test_the_prefix_goes_before_every_function() -> None:
    bench = Bench(prefix=b"test\t")
    bench.submit("sleep")
    bench.open()
    assert bench.sent() == [(p.SUBMIT_JOB, [b"test\tsleep", b"", b""])]


def test_options_come_first_on_every_connection() -> None:
    bench = Bench(options=[b"exceptions"])
    bench.submit()
    bench.open()
    assert [type for type, _ in bench.sent()] == [p.OPTION_REQ, p.SUBMIT_JOB]
    bench.reply(p.OPTION_RES, b"exceptions")
    bench.lose()
    bench.open()
    assert [type for type, _ in bench.sent()] == [p.OPTION_REQ, p.SUBMIT_JOB]


def test_no_more_is_made_ready_than_one_chunk() -> None:
    bench = Bench()
    for _ in range(1000):
        bench.submit("f", b"x" * 10_000)
    link = bench.open()
    assert CHUNK <= len(bench.engine.outgoing(link, bench.now)) < CHUNK + 11_000
    assert 900 < len(link.queue) < 1000


def test_what_is_abandoned_before_its_turn_is_never_sent() -> None:
    bench = Bench()
    first, second = bench.submit("first"), bench.submit("second")
    bench.engine.abandon(first, bench.now)
    bench.open()
    assert bench.sent() == [(p.SUBMIT_JOB, [b"second", b"", b""])]
    assert first.state is TaskState.CANCELLED
    assert second.state is TaskState.SUBMITTED


def test_a_task_is_used_once() -> None:
    bench = Bench()
    task = bench.submit()
    with pytest.raises(ValueError, match="submitted before"):
        bench.engine.submit(task, bench.now)


# What comes


def test_a_job_goes_through_its_states_and_calls_its_callbacks_in_order() -> None:
    bench, group, log = Bench(), Group(), Log()
    task = bench.submit("f", group=group, **log.keywords)
    bench.open()
    bench.sent()
    bench.now = 101.0
    bench.reply(p.JOB_CREATED, b"H:1")
    assert (task.state, task.handle) == (TaskState.CREATED, "H:1")
    bench.now = 102.0
    bench.reply(p.WORK_DATA, b"H:1", b"a\0b")
    assert task.state is TaskState.RUNNING
    bench.reply(p.WORK_STATUS, b"H:1", b"1", b"2")
    bench.reply(p.WORK_WARNING, b"H:1", b"careful")
    bench.now = 103.0
    bench.reply(p.WORK_COMPLETE, b"H:1", b"result")
    assert (task.state, task.result, task.failure) == (TaskState.SUCCEEDED, b"result", None)
    assert (task.numerator, task.denominator) == (1, 2)
    assert (task.submitted_at, task.created_at, task.started_at, task.finished_at) == (
        1_000_100.0,
        1_000_101.0,
        1_000_102.0,
        1_000_103.0,
    )
    assert group.remaining == 0
    call_back(group)
    assert log == [
        ("created",),
        ("data", b"a\0b"),
        ("status", 1, 2),
        ("warning", b"careful"),
        ("complete", b"result"),
    ]


def test_a_background_task_ends_when_it_is_acknowledged() -> None:
    bench, group, log = Bench(), Group(), Log()
    task = bench.submit("f", group=group, background=True, **log.keywords)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    assert (task.done, task.state, task.handle) == (True, TaskState.CREATED, "H:1")
    call_back(group)
    assert log == [("created",)]
    assert not bench.links[0].busy


def test_acknowledgements_errors_and_answers_are_matched_by_order() -> None:
    bench = Bench()
    first = bench.submit("first")
    link = bench.open()
    status = Question(p.GET_STATUS, b"H:9", p.STATUS_RES)
    bench.engine.ask(link, status, bench.now)
    second, third = bench.submit("second"), bench.submit("third")
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.STATUS_RES, b"H:9", b"1", b"0", b"0", b"0")
    bench.reply(p.ERROR, b"QUEUE_ERROR", b"Job queue is full")
    bench.reply(p.JOB_CREATED, b"H:3")
    assert (first.handle, third.handle) == ("H:1", "H:3")
    assert status.result == b"H:9\x001\x000\x000\x000"
    assert isinstance(second.failure, ServerError)
    assert (second.failure.code, second.failure.text) == ("QUEUE_ERROR", "Job queue is full")


def test_a_fast_job_may_end_in_the_same_chunk_as_its_acknowledgement() -> None:
    bench = Bench()
    task = bench.submit()
    bench.open()
    bench.sent()
    bench.receive(response(p.JOB_CREATED, b"H:1") + response(p.WORK_COMPLETE, b"H:1\0x"))
    assert task.result == b"x"


def test_any_split_of_the_bytes_gives_the_same_end() -> None:
    stream = b"".join(
        response(p.JOB_CREATED, b"H:%d" % number) + response(p.WORK_DATA, b"H:%d\0d" % number)
        for number in range(20)
    ) + b"".join(response(p.WORK_COMPLETE, b"H:%d\0%d" % (number, number)) for number in range(20))
    for seed in range(20):
        chance = random.Random(seed)
        bench = Bench()
        tasks = [bench.submit() for _ in range(20)]
        bench.open()
        bench.sent()
        rest = stream
        while rest:
            size = chance.randint(1, 60)
            bench.receive(rest[:size])
            rest = rest[size:]
        assert [task.result for task in tasks] == [b"%d" % number for number in range(20)]


def test_coalesced_tasks_share_the_job_and_each_is_told_of_every_event_once() -> None:
    bench, group = Bench(), Group()
    logs = [Log(), Log(), Log()]
    tasks = [bench.submit("f", unique="u", group=group, **log.keywords) for log in logs[:2]]
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.JOB_CREATED, b"H:1")
    for _ in range(2):  # a copy for each submission
        bench.reply(p.WORK_DATA, b"H:1", b"first")
    tasks.append(bench.submit("f", unique="u", group=group, **logs[2].keywords))
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    for _ in range(3):
        bench.reply(p.WORK_DATA, b"H:1", b"second")
    for _ in range(3):
        bench.reply(p.WORK_COMPLETE, b"H:1", b"x")
    call_back(group)
    both = [("created",), ("data", b"first"), ("data", b"second"), ("complete", b"x")]
    assert logs == [both, both, [("created",), ("data", b"second"), ("complete", b"x")]]
    assert not bench.links[0].busy


def test_one_that_gave_up_does_not_take_the_others_copies() -> None:
    bench, group, log = Bench(), Group(), Log()
    gone = bench.submit("f", unique="u")
    stays = bench.submit("f", unique="u", group=group, **log.keywords)
    bench.open()
    bench.sent()
    bench.engine.abandon(gone, bench.now)
    for _ in range(2):
        bench.reply(p.JOB_CREATED, b"H:1")
    for data in (b"a", b"b"):
        for _ in range(2):
            bench.reply(p.WORK_DATA, b"H:1", data)
    for _ in range(2):
        bench.reply(p.WORK_COMPLETE, b"H:1", b"x")
    call_back(group)
    assert log == [("created",), ("data", b"a"), ("data", b"b"), ("complete", b"x")]
    assert (gone.state, stays.result) == (TaskState.CANCELLED, b"x")


def test_a_server_that_tells_a_connection_only_once_still_ends_all_coalesced_tasks() -> None:
    bench = Bench()
    tasks = [bench.submit("f", unique="u") for _ in range(3)]
    bench.open()
    bench.sent()
    for _ in range(3):
        bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.WORK_COMPLETE, b"H:1", b"x")
    assert [task.result for task in tasks] == [b"x", b"x", b"x"]


@pytest.mark.parametrize("numbers", [(b"", b""), (b"half", b"whole"), (b"0.5", b"1e3")])
def test_a_status_that_is_no_number_is_not_held_against_the_connection(numbers: tuple[bytes, bytes]) -> None:
    bench = Bench()
    task = bench.submit()
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.WORK_STATUS, b"H:1", *numbers)
    assert task.state is TaskState.RUNNING
    assert not bench.take_unwanted()


def test_what_perls_workers_leave_out_is_empty() -> None:
    bench, group, log = Bench(), Group(), Log()
    task = bench.submit(group=group, **log.keywords)
    failing = bench.submit()
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.JOB_CREATED, b"H:2")
    bench.reply(p.WORK_STATUS, b"H:1", b"3")
    bench.reply(p.WORK_STATUS, b"H:1")
    bench.reply(p.WORK_DATA, b"H:1")
    bench.reply(p.WORK_COMPLETE, b"H:1")
    bench.reply(p.WORK_EXCEPTION, b"H:2")
    call_back(group)
    assert log == [("created",), ("status", 3, 0), ("status", 0, 0), ("data", b""), ("complete", b"")]
    assert task.result == b""
    assert isinstance(failing.failure, JobException)


def test_packets_that_a_client_has_no_use_for_change_nothing() -> None:
    bench = Bench()
    task = bench.submit()
    bench.open()
    bench.sent()
    for type in (p.NOOP, p.NO_JOB):
        bench.reply(type)
    bench.reply(p.WORK_COMPLETE, b"H:unknown", b"x")
    bench.reply(p.WORK_STATUS, b"H:unknown", b"1", b"2")
    bench.reply(p.JOB_CREATED, b"H:1")
    assert task.handle == "H:1"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n" + b"\0nonsense",
        response(p.JOB_CREATED, b"H:2"),
        response(p.ECHO_RES, b"x"),
        b"\0RES\0\0\0\x08\xff\xff\xff\xff",
    ],
)
def test_a_server_that_makes_no_sense_is_left(nonsense: bytes) -> None:
    bench = Bench("a", "b")
    task = bench.submit()
    a = bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.receive(nonsense)
    assert bench.take_unwanted() == [a]
    b = bench.open()
    assert b is not a
    assert bench.sent(b) == [(p.SUBMIT_JOB, [b"f", b"", b""])]
    assert task.state is TaskState.SUBMITTED


# Arguments


@pytest.mark.parametrize(
    "make",
    [
        lambda: Task(""),
        lambda: Task("f\0g"),
        lambda: Task("f", unique="u\0v"),
        lambda: Task("f", priority="urgent"),
        lambda: Task("f", at=5.0),
        lambda: Task("f", background=True, priority="high", at=5.0),
        lambda: Task("f", retry_count=-1),
        lambda: Task("f", timeout=-1.0),
    ],
)
def test_a_task_that_cannot_be_sent_is_refused_where_it_is_made(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError):
        make()


def test_callbacks_may_be_set_as_decorators() -> None:
    bench, group, log = Bench(), Group(), []
    task = Task("f")

    @task.on_complete
    def done(task: Task, result: bytes) -> None:
        log.append(result)

    assert done.__name__ == "done"
    task._group = group
    bench.engine.submit(task, bench.now)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.WORK_COMPLETE, b"H:1", b"x")
    call_back(group)
    assert log == [b"x"]


@uncompiled
def test_nothing_is_lost_when_a_signal_comes_while_a_lost_connection_s_tasks_are_placed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    tasks = [bench.submit(workload=b"%d" % number) for number in range(3)]
    bench.open()
    bench.sent()
    choose = bench.engine.router.choose
    calls = iter([choose])  # and then no more

    def raise_at_the_second(*arguments: Any) -> Any:
        call = next(calls, None)
        if call is None:
            raise KeyboardInterrupt
        return call(*arguments)

    with monkeypatch.context() as patches:
        patches.setattr(bench.engine.router, "choose", raise_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            bench.lose()
    bench.open()
    assert sorted(words[-1] for _, words in bench.sent()) == [b"0", b"1", b"2"]
    assert not any(task.done for task in tasks)
