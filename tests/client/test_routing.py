"""Which server a task goes to, and what becomes of it when that fails. No sockets."""

from __future__ import annotations

import pytest

from geartrain import (
    ConnectionLostError,
    JobLostError,
    NoServersError,
    PacketTooLargeError,
    ServerError,
    TaskState,
)
from geartrain.client.engine import MAX_LOSSES
from geartrain.client.group import Group
from geartrain.client.link import DOWN, UP, Question
from geartrain.client.task import Task
from geartrain.wire import packets as p

from .bench import Bench, Log, call_back

JOB = (p.SUBMIT_JOB, [b"f", b"", b""])


# One server at a time


def test_the_first_server_that_can_be_reached_is_used() -> None:
    bench = Bench("a", "b", "c")
    bench.submit()
    assert bench.refuse().name == "a:4730"
    assert bench.refuse().name == "b:4730"
    assert bench.open().name == "c:4730"
    bench.submit()
    assert bench.sent(bench.links[2]) == [JOB, JOB]
    assert bench.take_wanted() == []


def test_when_none_can_be_reached_the_task_fails_with_each_reason() -> None:
    bench = Bench("a", "b")
    task = bench.submit()
    bench.refuse("refused")
    bench.refuse("unreachable")
    assert isinstance(task.failure, NoServersError)
    assert task.failure.reasons == {"a:4730": "refused", "b:4730": "unreachable"}
    assert bench.take_wanted() == []


def test_a_later_task_tries_the_servers_again_though_all_are_avoided() -> None:
    bench = Bench("a", "b")
    bench.submit()
    bench.refuse()
    bench.refuse()
    task = bench.submit()
    assert bench.refuse().name == "a:4730"
    assert bench.open().name == "b:4730"
    assert not task.done


def test_attempts_that_take_longer_than_a_server_is_avoided_come_to_an_end() -> None:
    bench = Bench("a", "b")
    task = bench.submit()
    for _ in range(2):
        (link,) = bench.take_wanted()
        bench.wait(5.1)
        assert bench.take_unwanted() == [link]
    assert isinstance(task.failure, NoServersError)
    assert task.failure.reasons["a:4730"] == "no connection within 5 s"


def test_a_server_that_failed_is_avoided_for_a_while_twice_as_long_each_time() -> None:
    bench = Bench("a")
    link = bench.links[0]
    avoided = []
    for _ in range(8):
        bench.submit()
        bench.refuse()
        avoided.append(link.avoid_until - bench.now)
        bench.wait(100)
    assert avoided == [1, 2, 4, 8, 16, 30, 30, 30]
    bench.submit()
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    assert link.failures == 0


def test_an_avoided_server_is_not_tried_while_another_works() -> None:
    bench = Bench("a", "b")
    bench.submit()
    bench.refuse()
    b = bench.open()
    bench.sent(b)
    bench.reply(p.JOB_CREATED, b"H:1", link=b)
    bench.wait(0.5)
    bench.lose(b)
    assert bench.take_wanted() == [b]  # it had answered, so it is tried before the one that did not


def test_foreground_tasks_are_submitted_again_in_their_order() -> None:
    bench, group, log = Bench("a", "b"), Group(), Log()
    running = bench.submit("running", group=group, **log.keywords)
    unacknowledged = bench.submit("unacknowledged")
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.WORK_DATA, b"H:1", b"begun")
    unsent = bench.submit("unsent")
    bench.lose()
    assert bench.refuse().name == "a:4730"
    b = bench.open()
    assert running.state is TaskState.WAITING
    assert running.handle == ""
    assert [words[0] for _, words in bench.sent(b)] == [b"running", b"unacknowledged", b"unsent"]
    for number, task in enumerate((running, unacknowledged, unsent)):
        bench.reply(p.JOB_CREATED, b"H:b:%d" % number, link=b)
        bench.reply(p.WORK_COMPLETE, b"H:b:%d" % number, b"x", link=b)
        assert task.result == b"x"
    call_back(group)
    assert log == [("created",), ("data", b"begun"), ("created",), ("complete", b"x")]


def test_coalesced_tasks_are_submitted_again_one_and_all() -> None:
    bench = Bench("a", "b")
    tasks = [bench.submit("f", unique="u") for _ in range(3)]
    bench.open()
    bench.sent()
    for _ in range(3):
        bench.reply(p.JOB_CREATED, b"H:1")
    bench.lose()
    bench.refuse()
    b = bench.open()
    assert len(bench.sent(b)) == 3
    assert {task.state for task in tasks} == {TaskState.SUBMITTED}


def test_what_had_ended_is_not_submitted_again() -> None:
    bench = Bench("a", "b")
    abandoned, timed_out, lives = bench.submit("x"), bench.submit("y", timeout=1.0), bench.submit("z")
    bench.open()
    bench.sent()
    bench.engine.abandon(abandoned, bench.now)
    bench.wait(2)
    bench.lose()
    bench.refuse()
    assert bench.sent(bench.open()) == [(p.SUBMIT_JOB, [b"z", b"", b""])]
    assert (abandoned.state, timed_out.state) == (TaskState.CANCELLED, TaskState.TIMED_OUT)
    assert not lives.done


def test_a_background_task_that_was_sent_and_not_acknowledged_fails() -> None:
    bench = Bench("a", "b")
    acknowledged, sent = bench.submit(background=True), bench.submit(background=True)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    unsent = bench.submit(background=True)
    bench.lose(reason="reset")
    assert acknowledged.state is TaskState.CREATED
    assert isinstance(sent.failure, ConnectionLostError)
    assert (sent.failure.server, sent.failure.reason) == ("a:4730", "reset")
    assert unsent.state is TaskState.WAITING
    bench.refuse()
    assert bench.sent(bench.open()) == [(p.SUBMIT_JOB_BG, [b"f", b"", b""])]


def test_a_background_task_with_retries_is_submitted_again() -> None:
    bench, group, log = Bench("a"), Group(), Log()
    task = bench.submit(group=group, background=True, retry_count=1, **log.keywords)
    bench.open()
    bench.sent()
    bench.lose()
    assert not task.done
    bench.open()
    bench.sent()
    bench.lose()
    assert isinstance(task.failure, ConnectionLostError)
    call_back(group)
    assert log == [("retry", 1), ("fail", task.failure)]


def test_a_task_that_every_connection_ends_with_is_given_up() -> None:
    bench = Bench("a", "b")
    task = bench.submit(workload=b"poison")
    for _ in range(MAX_LOSSES):
        assert not task.done
        link = bench.open()
        bench.sent(link)
        bench.lose(link)
    assert isinstance(task.failure, JobLostError)
    assert bench.take_wanted() == []


def test_a_job_whose_result_is_over_the_limit_fails_at_once_and_alone() -> None:
    bench = Bench("a")
    task, other = bench.submit(), bench.submit()
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.JOB_CREATED, b"H:2")
    bench.receive(b"\0RES\0\0\0\x0d\xff\xff\xff\xffH:1\0" + bytes(1000))
    assert isinstance(task.failure, PacketTooLargeError)
    assert "4294967295 bytes" in str(task.failure)
    assert not other.done


def test_the_servers_last_words_are_part_of_the_reason() -> None:
    bench = Bench("a")
    task = bench.submit(background=True)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.ERROR, b"SHUTTING_DOWN", b"Good bye")
    bench.lose(reason="closed")
    assert task.done
    assert bench.links[0].reason == "SHUTTING_DOWN: Good bye (closed)"


def test_a_server_that_ends_the_connection_over_an_option_is_not_asked_for_it_again() -> None:
    bench = Bench("a", options=[b"exceptions"])
    bench.submit()
    bench.open()
    assert [type for type, _ in bench.sent()] == [p.OPTION_REQ, p.SUBMIT_JOB]
    bench.lose()
    bench.open()
    assert [type for type, _ in bench.sent()] == [p.ECHO_REQ, p.OPTION_REQ, p.SUBMIT_JOB]
    bench.reply(p.ECHO_RES, b"geartrain probe")
    bench.lose()
    bench.open()
    assert bench.sent() == [JOB]


def test_an_option_is_not_given_up_for_connections_that_end_without_a_word() -> None:
    bench = Bench("a", options=[b"exceptions"])
    # As a proxy does whose server is down.
    for _ in range(5):
        bench.submit()
        bench.open()
        bench.sent()
        bench.lose()
    bench.open()
    assert p.OPTION_REQ in [type for type, _ in bench.sent()]
    bench.reply(p.ECHO_RES, b"geartrain probe")
    bench.reply(p.OPTION_RES, b"exceptions")
    bench.lose()
    bench.open()
    assert next(type for type, _ in bench.sent()) == p.OPTION_REQ


def test_a_server_that_was_killed_before_it_answered_an_option_is_asked_for_it_again() -> None:
    bench = Bench("a", options=[b"exceptions"])
    bench.submit()
    for _ in range(2):
        bench.open()
        bench.sent()
        bench.lose()
        bench.refuse()
        bench.submit()
    bench.open()
    assert [type for type, _ in bench.sent()] == [p.OPTION_REQ, p.SUBMIT_JOB]


def test_a_server_that_refuses_an_option_is_used_without_it() -> None:
    bench = Bench("a", options=[b"exceptions"])
    task = bench.submit()
    bench.open()
    bench.sent()
    bench.reply(p.ERROR, b"unknown_option", b"")
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.WORK_COMPLETE, b"H:1", b"x")
    assert task.result == b"x"


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("by_unique", [False, True])
def test_what_a_leaving_server_refuses_goes_to_another(background: bool, by_unique: bool) -> None:
    bench = Bench("a", "b", by_unique=by_unique)
    task = bench.submit("f", unique="u", background=background)
    leaving = bench.open()
    other = next(link for link in bench.links if link is not leaving)
    bench.sent(leaving)
    bench.reply(p.ERROR, b"SHUTDOWN", b"The job server is shutting down", link=leaving)
    assert bench.open() is other
    bench.submit("f", unique="u", background=background)
    assert len(bench.sent(other)) == 2
    assert bench.sent(leaving) == []
    bench.reply(p.JOB_CREATED, b"H:1", link=other)
    assert task.handle == "H:1"
    # When it is back it is one of them again.
    bench.lose(leaving)
    assert bench.take_wanted() == []


@pytest.mark.parametrize("background", [False, True])
def test_what_a_leaving_server_refuses_goes_to_the_one_that_takes_its_place(background: bool) -> None:
    bench = Bench("a")
    tasks = [bench.submit(background=background) for _ in range(3)]
    bench.open()
    bench.sent()
    for _ in tasks:
        bench.reply(p.ERROR, b"SHUTDOWN", b"The job server is shutting down")
    (old,) = bench.take_unwanted()
    assert bench.open() is old
    assert len(bench.sent()) == 3
    for task in tasks:
        bench.reply(p.JOB_CREATED, b"H:1")
        assert task.handle == "H:1"


def test_without_another_server_a_refusal_to_take_new_jobs_is_told() -> None:
    for servers in (["a"], ["a", "b"]):
        bench = Bench(*servers)
        task = bench.submit()
        bench.open()
        for connect in [bench.open] if len(servers) == 1 else [bench.refuse, bench.open]:
            bench.sent()
            bench.reply(p.ERROR, b"SHUTDOWN", b"The job server is shutting down")
            connect()
        bench.sent()
        bench.reply(p.ERROR, b"SHUTDOWN", b"The job server is shutting down")
        assert isinstance(task.failure, ServerError)
        assert task.failure.code == "SHUTDOWN"


def test_a_leaving_server_keeps_its_connection_while_jobs_of_ours_run() -> None:
    bench = Bench("a")
    first = bench.submit()
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    second = bench.submit()
    bench.sent()
    bench.reply(p.ERROR, b"SHUTDOWN", b"The job server is shutting down")
    assert isinstance(second.failure, ServerError)
    third = bench.submit()
    bench.reply(p.WORK_STATUS, b"H:1", b"1", b"2")
    assert bench.take_unwanted() == []
    bench.sent()
    bench.reply(p.ERROR, b"SHUTDOWN", b"The job server is shutting down")
    assert isinstance(third.failure, ServerError)
    bench.reply(p.WORK_COMPLETE, b"H:1", b"x")
    assert first.result == b"x"
    assert bench.take_unwanted() == []


def test_a_question_on_a_connection_that_is_lost_is_asked_again_on_one_other() -> None:
    bench = Bench("a", "b")
    question = Question(p.GET_STATUS, b"H:1", p.STATUS_RES)
    bench.engine.ask(bench.links[1], question, bench.now)
    b = bench.open()
    assert b.name == "b:4730"
    asked = bench.sent(b)
    bench.lose(b)
    assert not question.done
    assert bench.open() is b
    assert bench.sent(b) == asked
    bench.lose(b)
    assert isinstance(question.failure, ConnectionLostError)
    assert not bench.take_wanted()


def test_a_question_to_a_server_that_can_not_be_reached_fails() -> None:
    bench = Bench("a")
    # An attempt that began before is not its own.
    bench.submit(timeout=1)
    question = Question(p.GET_STATUS, b"H:1", p.STATUS_RES)
    bench.engine.ask(bench.links[0], question, bench.now)
    bench.refuse()
    assert not question.done
    bench.refuse()
    assert isinstance(question.failure, ConnectionLostError)


def test_what_the_socket_did_not_take_whole_is_sent_elsewhere_though_it_is_in_the_background() -> None:
    bench = Bench("a")
    tasks = [bench.submit("f", b"x" * 100, background=True) for _ in range(3)]
    link = bench.open()
    size = len(bench.engine.outgoing(link, bench.now)) // 3
    # The second left but for its last byte, the third not at all.
    link.unsent = size + 1
    bench.lose()
    assert isinstance(tasks[0].failure, ConnectionLostError)
    bench.open()
    assert len(bench.sent()) == 2
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.JOB_CREATED, b"H:2")
    assert [task.handle for task in tasks] == ["", "H:1", "H:2"]


# Several servers at once


def placed(bench: Bench, unique: str, workload: bytes = b"") -> str:
    """The server that a task with this unique went to."""
    task = bench.submit("f", workload, unique=unique)
    for link in bench.take_wanted():
        bench.engine.connected(link, bench.now)
    assert task._link is not None
    return task._link.name


def test_all_clients_agree_where_a_unique_goes() -> None:
    one, other = Bench("a", "b", "c", by_unique=True), Bench("c", "a", "b", by_unique=True)
    uniques = [f"unique {number}" for number in range(300)]
    places = [placed(one, unique) for unique in uniques]
    assert places == [placed(other, unique) for unique in uniques]
    for name in ("a:4730", "b:4730", "c:4730"):
        assert 60 < places.count(name) < 140


def test_the_workload_is_the_unique_if_it_says_so() -> None:
    bench = Bench("a", "b", "c", by_unique=True)
    places = {placed(bench, "-", b"%d" % number) for number in range(50)}
    assert len(places) == 3
    assert len({placed(bench, "-", b"same") for _ in range(20)}) == 1


def test_tasks_without_a_unique_take_turns() -> None:
    bench = Bench("a", "b", "c", by_unique=True)
    places = [placed(bench, "") for _ in range(9)]
    assert sorted(places) == ["a:4730"] * 3 + ["b:4730"] * 3 + ["c:4730"] * 3


def test_only_the_share_of_a_dead_server_moves() -> None:
    bench = Bench("a", "b", "c", by_unique=True)
    uniques = [f"unique {number}" for number in range(200)]
    before = {unique: placed(bench, unique) for unique in uniques}
    b = bench.links[1]
    assert b.state == UP
    bench.lose(b)
    if b in bench.engine.wanted:
        bench.refuse()
    assert b.state == DOWN
    after = {unique: placed(bench, unique) for unique in uniques}
    moved = [unique for unique in uniques if before[unique] != after[unique]]
    assert moved == [unique for unique in uniques if before[unique] == "b:4730"]
    assert {after[unique] for unique in moved} == {"a:4730", "c:4730"}


def test_a_server_that_is_back_gets_its_share_again() -> None:
    bench = Bench("a", "b", by_unique=True)
    uniques = [f"unique {number}" for number in range(50)]
    before = [placed(bench, unique) for unique in uniques]
    b = bench.links[1]
    bench.lose(b)
    if b in bench.engine.wanted:
        bench.refuse()
    assert {placed(bench, unique) for unique in uniques} == {"a:4730"}
    bench.wait(2)
    assert [placed(bench, unique) for unique in uniques] == before


@pytest.mark.parametrize("by_unique", [False, True])
def test_a_pinned_task_goes_nowhere_else(by_unique: bool) -> None:
    bench = Bench("a", "b", by_unique=by_unique, prefix=b"test\t")
    task = Task("geartrain.result", b"H:1")
    bench.engine.submit(task, bench.now, bench.links[1])
    b = bench.open()
    assert bench.sent(b) == [(p.SUBMIT_JOB, [b"geartrain.result", b"", b"H:1"])]
    for _ in range(2):
        bench.lose(b)
        if not task.done:
            assert bench.open() is b
            assert bench.sent(b) == [(p.SUBMIT_JOB, [b"geartrain.result", b"", b"H:1"])]
    assert isinstance(task.failure, ConnectionLostError)
