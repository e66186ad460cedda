"""Settings of functions: how they are written, who goes before whom, and what they hold back."""

from __future__ import annotations

from typing import Any

import pytest

from geartrain.broker.policy import Policy
from geartrain.wire import packets as p

from .talk import Stage


@pytest.mark.parametrize(
    "settings",
    [
        {"max_attempts": 5, "retry": ["fail"], "timeout": 30.0, "max_queue": 10, "concurrency": 3},
        {"rate": "0.25/s", "backoff": "exponential 0.001s 604800s", "keep_results": 86400.0},
        {"rate": "12345678/s", "backoff": "fixed 12345678.5s 0s"},
        {},
    ],
)
def test_what_is_shown_is_what_can_be_set(settings: dict[str, Any]) -> None:
    policy = Policy()
    policy.update(settings)
    assert policy.settings() == settings


@pytest.mark.parametrize(
    ("key", "value", "seconds"),
    [("timeout", "500ms", 0.5), ("timeout", "10m", 600), ("keep_results", "7d", 604800), ("timeout", 3, 3)],
)
def test_times_are_written_as_people_do(key: str, value: object, seconds: float) -> None:
    policy = Policy()
    policy.update({key: value})
    assert getattr(policy, key) == seconds


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout", "soon"), ("timeout", -1), ("timeout", "9" * 400 + "s"), ("timeout", True),
        ("max_queue", -1), ("max_queue", "many"), ("concurrency", 1.5), ("max_attempts", True),
        ("rate", "fast"), ("rate", "nan"), ("rate", "1/week"), ("rate", "-1/s"),
        ("retry", "always"), ("retry", [1]), ("retry", 5),
        ("backoff", ""), ("backoff", "fixed"), ("backoff", "square 1s"), ("backoff", "linear 1s 2s 3s"),
        ("colour", "red"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_changes_nothing(key: str, value: object) -> None:
    policy = Policy()
    policy.update({"max_attempts": 3})
    with pytest.raises(ValueError, match=r"expected|no setting"):
        policy.update({"concurrency": 7, key: value})
    assert policy.settings() == {"max_attempts": 3}


def test_what_was_set_goes_before_the_configuration_until_it_is_taken_back() -> None:
    stage = Stage()
    client = stage.connect()
    configured = {"f": {"max_attempts": 5, "concurrency": 2}}
    stage.broker.configure(configured)
    client.ask("function.set", {"function": "f", "max_attempts": 7})
    stage.restart()
    stage.broker.configure(configured)
    client = stage.connect()
    (row,) = client.ask("function.list")
    assert row["settings"] == {"max_attempts": 7, "concurrency": 2}
    answer = client.ask("function.reset", {"function": "f"})
    assert answer["settings"] == {"max_attempts": 5, "concurrency": 2}
    stage.broker.configure({})
    assert client.ask("function.list") == []
    with pytest.raises(ValueError, match="function 'f': rate"):
        stage.broker.configure({"f": {"rate": "often"}})


@pytest.mark.parametrize("workload", [b"[", b"[]", b'"f"', b"{}", b'{"function": 3}', b"[" * 100_000])
def test_a_question_that_makes_no_sense_gets_a_sentence(workload: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|missing"):
        Stage().connect().ask("function.set", workload)


def test_no_more_jobs_run_at_a_time_than_the_concurrency_allows() -> None:
    stage = Stage()
    client = stage.connect()
    client.ask("function.set", {"function": "f", "concurrency": 2})
    for number in range(5):
        client.submit(b"f", b"%d" % number)
    workers = [stage.worker(b"f") for _ in range(3)]
    running = [worker.grab() for worker in workers]
    assert [grabbed and grabbed[1] for grabbed in running] == [b"0", b"1", None]
    workers[2].send(p.PRE_SLEEP)
    assert workers[2].told() == []
    workers[0].send(p.WORK_COMPLETE, (running[0] or (b"",))[0], b"")
    assert workers[2].told() == [(p.NOOP, b"")]
    client.ask("function.set", {"function": "f", "concurrency": 0})
    workers[1].told()
    assert [(worker.grab() or b"  ")[1] for worker in workers] == [b"2", b"3", b"4"]


def test_no_more_jobs_start_in_a_while_than_the_rate_allows() -> None:
    stage = Stage()
    client = stage.connect()
    client.ask("function.set", {"function": "f", "rate": "10/s"})
    for _ in range(100):
        client.submit(b"f")
    worker = stage.worker(b"f")

    def started() -> int:
        count = 0
        while worker.grab():
            count += 1
        return count

    assert started() == 10  # a second's worth at once
    assert started() == 0
    stage.go(0.5)
    assert started() == 5
    worker.send(p.PRE_SLEEP)
    stage.go(0.15)
    assert (p.NOOP, b"") in worker.told()
    stage.go(60)
    assert started() == 10


def test_a_full_queue_refuses_new_jobs_and_still_coalesces() -> None:
    stage = Stage()
    client = stage.connect()
    client.ask("function.set", {"function": "f", "max_queue": 2})
    first = client.submit(b"f", b"w", b"unique")
    client.submit(b"f")
    client.send(p.SUBMIT_JOB_BG, b"f", b"", b"w")
    assert client.told() == [(p.ERROR, b"QUEUE_ERROR\0Job queue is full")]
    assert client.submit(b"f", b"w", b"unique") == first
    client.submit(b"g")


@pytest.mark.parametrize(
    "workload",
    [
        b'{"function": "f", "timeout": 1' + b"0" * 400 + b"}",
        b'{"function": "f", "max_queue": 1' + b"0" * 5000 + b"}",
        b'{"function": "f", "rate": "1e999/s"}',
        b'{"function": "f", "\\ud800": 1}',
        b'{"function": "\\ud800", "timeout": 1}',
        b'{"function": "' + b"f" * 513 + b'", "timeout": 1}',
        b" " * (1024 * 1024) + b'{"function": "f"}',
    ],
    ids=["too large a time", "too large a number", "endless", "half a pair", "name", "long name", "long"],
)
def test_numbers_names_and_workloads_out_of_all_bounds_get_a_sentence(workload: bytes) -> None:
    client = Stage().connect()
    with pytest.raises(ValueError, match=r"expected|setting|name|larger|encode|JSON"):
        client.ask("function.set", workload)
    assert client.ask("function.list") == []


def test_a_function_whose_name_is_no_utf8_has_settings_too() -> None:
    stage = Stage()
    client = stage.connect()
    client.ask("function.set", {"function": "caf\udce9", "concurrency": 1})
    stage.restart()
    client = stage.connect()
    handle = client.submit(b"caf\xe9")
    client.submit(b"caf\xe9")
    worker = stage.worker(b"caf\xe9")
    assert worker.grab() == (handle, b"")
    assert worker.grab() is None


def test_in_the_background_the_servers_own_functions_are_refused() -> None:
    """Nobody would hear what became of it, and an acknowledgement would promise that it was done."""
    client = Stage().connect()
    client.send(p.SUBMIT_JOB_BG, b"geartrain.function.set", b"", b'{"function": "f", "timeout": 1}')
    ((type, body),) = client.told()
    assert (type, body.split(b"\0")[0]) == (p.ERROR, b"INVALID_ARGUMENT")
    assert client.ask("function.list") == []


def test_no_function_has_a_nul_in_its_name() -> None:
    peer = Stage().connect()
    peer.send(p.CAN_DO, b"\0x")
    ((type, body),) = peer.told()
    assert (type, body.split(b"\0")[0]) == (p.ERROR, b"INVALID_FUNCTION_NAME")
    peer.send(p.TEXT, b"status")
    assert peer.peer.outbox == [b".\n"]


def test_a_unique_that_is_a_dot_does_not_end_the_list() -> None:
    client = Stage().connect()
    client.submit(b"f", unique=b".")
    client.send(p.TEXT, b"show unique jobs")
    assert client.peer.outbox == [b"?\n.\n"]


def test_a_setting_that_is_changed_gives_a_paced_function_no_burst() -> None:
    stage = Stage()
    client = stage.connect()
    worker = stage.worker(b"f")
    client.ask("function.set", {"function": "f", "rate": "2/s"})
    for number in range(10):
        client.submit(b"f", b"%d" % number)
    for timeout in ("60s", "61s", "62s"):
        while worker.grab() is not None:
            pass
        client.ask("function.set", {"function": "f", "timeout": timeout})
    assert len(worker.peer.running) == 2
