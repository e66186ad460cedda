"""Typed functions as a worker has them, called in plain JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from geartrain import Client, Job, JobException, JobFailed, Worker
from geartrain.codecs import YAML, Bytes
from tests.server.running import RunningServer

from .running import working


@dataclass
class Rectangle:
    width: float
    height: float


ran: list[object] = []


def declare(worker: Worker) -> None:
    @worker.function
    def add(a: int, b: int = 10) -> int:
        ran.append((a, b))
        return a + b

    @worker.function("shapes.area", timeout=10)
    def area(shape: Rectangle) -> float:
        return shape.width * shape.height

    @worker.function
    async def later(word: str) -> list[str]:
        return [word, word]

    @worker.function
    def watch_time_limit(job: Job, steps: int) -> str:
        for step in range(steps):
            job.status(step, steps)
        return job.handle

    @worker.function(codec=Bytes())
    def shout(text: str) -> str:
        return text.upper()

    @worker.function(codec=YAML())
    def names(people: list[dict[str, Any]]) -> list[str]:
        return [person["name"] for person in people]

    @worker.function
    def refuse(why: str) -> None:
        if why:
            raise ValueError(why)
        raise JobFailed

    @worker.function
    def unspeakable() -> object:
        return object()

    class Later:
        async def __call__(self, n: int) -> int:
            return n + 1

    worker.register("object", Later())

    @worker.function("raw")
    def raw(job):  # type: ignore[no-untyped-def]
        return job.workload[::-1]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with RunningServer() as server:
        worker = Worker(f"127.0.0.1:{server.port}")
        declare(worker)
        with working(worker), Client(f"127.0.0.1:{server.port}", timeout=10) as client:
            yield client


def test_arguments_come_as_an_array_or_by_name(client: Client) -> None:
    assert client.run("add", b"[2, 3]") == b"5"
    assert client.run("add", b'{"b": 3, "a": 2}') == b"5"
    assert client.run("add", b"[2]") == b"12"
    assert json.loads(client.run("shapes.area", b'[{"width": 2, "height": 3.5}]')) == 7


def test_coroutines_are_typed_too(client: Client) -> None:
    assert client.run("later", b'["a"]') == b'["a","a"]'
    assert client.run("object", b"[1]") == b"2"


def test_the_job_comes_first_if_it_is_asked_for(client: Client) -> None:
    future = client.submit("watch_time_limit", b"[3]")
    assert json.loads(future.result()) == future.handle
    assert (future.task.numerator, future.task.denominator) == (2, 3)


def test_other_codecs_are_chosen_where_the_function_is_declared(client: Client) -> None:
    assert client.run("shout", "grüße") == "GRÜSSE".encode()
    assert client.run("names", "- - name: Ada\n  - name: Bob\n") == b"- Ada\n- Bob\n"


def test_wrong_arguments_are_told_by_name_and_the_function_is_not_run(client: Client) -> None:
    ran.clear()
    for workload, text in (
        (b'[2, "three"]', "add: argument 'b': Expected `int`, got `str`"),
        (b'{"a": 2, "c": 3}', "add: argument 'c': is unknown"),
        (b"[]", "add: argument 'a': is missing"),
        (b"hello", "add: the workload holds no arguments in JSON"),
    ):
        with pytest.raises(JobException) as error:
            client.run("add", workload)
        assert str(error.value).startswith(text)
    assert ran == []
    assert client.run("add", b"[1]") == b"11"


def test_exceptions_and_failures_are_those_of_raw_functions(client: Client) -> None:
    with pytest.raises(JobException, match=r"^no milk$"):
        client.run("refuse", b'["no milk"]')
    with pytest.raises(JobFailed):
        client.run("refuse", b'[""]')


def test_a_result_that_can_not_travel_ends_the_job_as_an_exception(client: Client) -> None:
    with pytest.raises(JobException, match="type object is unsupported"):
        client.run("unspeakable")


def test_raw_functions_stay_raw(client: Client) -> None:
    assert client.run("raw", b"abc") == b"cba"


def test_a_function_that_can_not_be_typed_is_refused_where_it_is_declared() -> None:
    worker = Worker()
    with pytest.raises(TypeError, match="spread: a typed function names its parameters"):

        @worker.function
        def spread(a: int, **others: int) -> None: ...

    assert worker.functions == ()
