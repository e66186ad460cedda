"""Priorities over all functions of a worker, beside policies, round robin and cancellation."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

from geartrain.broker.limits import Rules
from geartrain.wire import packets as p

from .talk import Connection, Stage

SUBMIT: Final = {"high": p.SUBMIT_JOB_HIGH_BG, "normal": p.SUBMIT_JOB_BG, "low": p.SUBMIT_JOB_LOW_BG}
ORDER: Final = list(SUBMIT)


def submit(stage: Stage, client: Connection, function: bytes, priority: str) -> bytes:
    client.told()
    client.send(SUBMIT[priority], function, b"", function + b"-" + priority.encode())
    stage.commit()
    ((_, handle),) = client.told()
    return handle


def served(worker: Connection) -> list[str]:
    """The workloads of all jobs that a worker is given, in their order."""
    found = []
    while (job := worker.grab()) is not None:
        found.append(job[1].decode())
    return found


def taken(worker: Connection) -> tuple[bytes, bytes]:
    """Grab a job that there must be: its handle and workload."""
    job = worker.grab()
    assert job is not None
    return job


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Connection:
    return stage.connect()


@pytest.mark.parametrize("others", [0, 5])
def test_a_high_job_of_an_older_function_goes_before_a_normal_one_of_a_newer(
    stage: Stage, client: Connection, others: int
) -> None:
    # More functions with work than the worker has abilities, and fewer.
    for number in range(others):
        for priority in ORDER:
            submit(stage, client, b"other%d" % number, priority)
    worker = stage.worker(b"f", b"g")
    for function in (b"f", b"g"):
        for priority in reversed(ORDER):
            submit(stage, client, function, priority)
    assert served(worker) == ["g-high", "f-high", "g-normal", "f-normal", "g-low", "f-low"]


def test_a_function_at_its_concurrency_lets_lower_priorities_of_others_pass(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "concurrency": 1})
    worker = stage.worker(b"f", b"g")
    for _ in range(2):
        submit(stage, client, b"f", "high")
    submit(stage, client, b"g", "low")
    assert served(worker) == ["f-high", "g-low"]


def test_a_function_at_its_rate_lets_lower_priorities_of_others_pass(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "rate": "1/m"})
    worker = stage.worker(b"g", b"f")
    for _ in range(2):
        submit(stage, client, b"f", "high")
    submit(stage, client, b"g", "normal")
    assert served(worker) == ["f-high", "g-normal"]
    stage.go(61)
    assert served(worker) == ["f-high"]


def test_a_paused_function_lets_lower_priorities_of_others_pass(stage: Stage, client: Connection) -> None:
    worker = stage.worker(b"f", b"g")
    client.ask("function.set", {"function": "f", "paused": True})
    submit(stage, client, b"f", "high")
    for _ in range(2):
        submit(stage, client, b"g", "low")
    assert taken(worker)[1] == b"g-low"
    client.ask("function.set", {"function": "f", "paused": False})
    assert served(worker) == ["f-high", "g-low"]


def test_a_cancelled_high_job_leaves_its_function_to_the_order_of_the_rest(
    stage: Stage, client: Connection
) -> None:
    worker = stage.worker(b"f", b"g")
    handle = submit(stage, client, b"f", "high")
    submit(stage, client, b"f", "low")
    submit(stage, client, b"g", "normal")
    client.send(p.TEXT, b"cancel job " + handle)
    assert served(worker) == ["g-normal", "f-low"]


def test_a_returned_job_keeps_its_priority_among_all_functions(stage: Stage, client: Connection) -> None:
    first, second = stage.worker(b"f", b"g"), stage.worker(b"f", b"g")
    submit(stage, client, b"f", "high")
    submit(stage, client, b"g", "normal")
    assert first.grab() is not None
    stage.broker.disconnect(first.peer)
    assert served(second) == ["f-high", "g-normal"]


def test_round_robin_takes_turns_within_a_priority(client: Connection) -> None:
    stage = Stage(rules=Rules(round_robin=True))
    client = stage.connect()
    worker = stage.worker(b"f", b"g")
    for function in (b"f", b"g"):
        submit(stage, client, function, "high")
        for _ in range(2):
            submit(stage, client, function, "normal")
    assert served(worker) == ["g-high", "f-high", "g-normal", "f-normal", "g-normal", "f-normal"]


@pytest.mark.parametrize("seed", range(5))
def test_jobs_come_in_the_order_of_their_priorities_whatever_was_queued(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    client = stage.connect()
    functions = [b"f%d" % number for number in range(12)]
    for function in functions:
        for _ in range(chance.randrange(4)):
            submit(stage, client, function, chance.choice(ORDER))
    abilities = chance.sample(functions, 6)
    ranks = [ORDER.index(workload.partition("-")[2]) for workload in served(stage.worker(*abilities))]
    assert ranks == sorted(ranks)


class CountingDict(dict[bytes, Any]):
    """Abilities that count how often they are looked through."""

    looks = 0

    def values(self) -> Any:
        self.looks += 1
        return super().values()


def test_urgent_jobs_of_other_functions_cost_a_worker_with_many_abilities_one_look(
    stage: Stage, client: Connection
) -> None:
    worker = stage.worker(*[b"own%d" % number for number in range(30)])
    abilities = worker.peer.abilities = CountingDict(worker.peer.abilities)
    for number in range(50):
        for priority in ORDER[:2]:
            submit(stage, client, b"other%d" % number, priority)
    for _ in range(20):
        submit(stage, client, b"own29", "low")
    assert served(worker) == ["own29-low"] * 20
    # The last grab, for which there is no job, is no look: no low job of any function is left.
    assert abilities.looks == 2


@pytest.mark.parametrize("others", [1, 10])
def test_an_urgent_job_is_seen_after_a_grab_that_found_none(
    stage: Stage, client: Connection, others: int
) -> None:
    # Fewer functions with urgent jobs than abilities, and more.
    worker = stage.worker(b"f", b"g", b"h")
    for number in range(others):
        submit(stage, client, b"other%d" % number, "high")
    for _ in range(3):
        submit(stage, client, b"g", "low")
    taken(worker)
    submit(stage, client, b"f", "high")
    assert taken(worker)[1] == b"f-high"
    assert taken(worker)[1] == b"g-low"
    worker.send(p.CAN_DO, b"other0")
    assert taken(worker)[1] == b"other0-high"
    assert taken(worker)[1] == b"g-low"


def test_a_function_at_its_concurrency_is_served_once_it_may_run_again(
    stage: Stage, client: Connection
) -> None:
    client.ask("function.set", {"function": "f", "concurrency": 1})
    worker = stage.worker(b"f", b"g")
    for _ in range(2):
        submit(stage, client, b"f", "high")
        submit(stage, client, b"g", "low")
    first = taken(worker)
    assert taken(worker)[1] == b"g-low"
    worker.send(p.WORK_COMPLETE, first[0], b"")
    assert taken(worker)[1] == b"f-high"
