"""A function called from another program: typed, in both clients."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from geartrain import AsyncClient, Client, JobException, ResultError, Task, TaskSet, WaitTimeoutError
from geartrain.codecs import JSON, MessagePack

from . import tasks
from .tasks import Rectangle


def test_a_function_is_called_as_if_it_were_here(client: Client) -> None:
    add = client.function(tasks.add)
    assert add(2, 3) == 5
    assert add(2) == 12
    assert add(b=1, a=2) == 3
    assert client.function(tasks.area)(Rectangle(2, 3.5)) == 7
    now = datetime.now(UTC)
    assert client.function(tasks.tomorrow)(now) == now + timedelta(days=1)
    assert client.function(tasks.steps)(3) == 3
    assert client.function(tasks.reverse)(b"abc") == b"cba"
    assert client.function("upper")("abc") == b"ABC"


def test_a_declaration_alone_will_do(client: Client) -> None:
    def plus(a: int, b: int) -> int: ...  # type: ignore[empty-body]

    assert client.function(plus, name="add")(2, 3) == 5

    def shape_area(shape: Rectangle) -> float: ...  # type: ignore[empty-body]

    far = client.function(shape_area, name="shapes.area", codec=MessagePack())
    assert far(Rectangle(1, 2)) == 2


def test_a_future_gives_the_value(client: Client) -> None:
    future = client.function(tasks.steps).submit(2)
    assert future.result() == 2
    assert list(future.data()) == [b"0", b"1"]
    assert future.exception() is None


def test_statuses_are_iterated_as_they_come(client: Client) -> None:
    told: list[tuple[int, int]] = []
    future = client.function(tasks.climb).submit(3)
    for status in future.statuses():
        told.append((status.numerator, status.denominator))
        tasks.seen.release()
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert future.result() == 3
    assert [status.numerator for status in future.statuses()] == [3]
    with pytest.raises(JobException, match="-1 is negative"):
        list(client.function(tasks.square).submit(-1).statuses())
    with pytest.raises(WaitTimeoutError):
        list(client.function(tasks.wait).submit(1).statuses(timeout=0.05))


def test_a_background_job_runs_and_its_task_is_known_by_handle(client: Client) -> None:
    handle = client.function(tasks.wait).background(1)
    assert client.status(handle).known
    tasks.gate.set()


def test_tasks_of_a_typed_function_go_into_a_set(client: Client) -> None:
    square = client.function(tasks.square)
    results: list[int] = []
    numbers = TaskSet(client)
    for n in range(5):
        task = numbers.add(square.task(n))
        task.on_complete(lambda task, result: results.append(square.decode(result)))
    assert numbers.wait()
    assert sorted(results) == [0, 1, 4, 9, 16]


def test_options_are_those_of_the_jobs(client: Client) -> None:
    add = client.function(tasks.add).options(unique="-", priority="high", retry_count=1)
    task = add.task(1, 2)
    assert (task.unique, task.priority, task.retry_count) == ("-", "high", 1)
    assert add.options(priority="low").task(1).unique == "-"
    with pytest.raises(TypeError, match="there is no option urgency"):
        add.options(urgency=1)  # type: ignore[call-arg]
    with pytest.raises(WaitTimeoutError):
        client.function(tasks.wait).options(timeout=0.05)(1)
    with pytest.raises(ValueError, match="at: only a background task"):
        add.options(at=0).submit(1)


def test_a_wrong_call_is_a_type_error_and_submits_nothing(client: Client) -> None:
    add = client.function(tasks.add)
    with pytest.raises(TypeError, match="add: missing a required argument: 'a'"):
        add()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes one workload"):
        client.function("upper")(b"a", b"b")  # type: ignore[call-arg]
    assert tasks.ran == []


def test_wrong_arguments_come_back_and_name_the_argument(client: Client) -> None:
    with pytest.raises(JobException, match="add: argument 'b': Expected `int`, got `str`"):
        client.function(tasks.add)(1, "two")  # type: ignore[arg-type]
    assert tasks.ran == []


def test_a_result_of_another_type_is_not_passed_on(client: Client) -> None:
    wrong = client.function(tasks.wrong)
    with pytest.raises(ResultError, match="Expected `int`, got `str`"):
        wrong()
    with pytest.raises(ResultError):
        wrong.submit().result()


def test_what_can_not_be_typed_is_refused(client: Client) -> None:
    def spread(**options: int) -> None: ...

    with pytest.raises(TypeError, match="names its parameters"):
        client.function(spread)
    with pytest.raises(TypeError, match="a name and a codec are for"):
        client.function("add", codec=JSON())  # type: ignore[call-overload]


def test_the_context_of_a_call_travels_around_its_arguments(client: Client) -> None:
    client.context = lambda function: {"traceparent": "00-1-2-01"}
    assert client.function(tasks.add)(2, 3) == 5
    task = client.function(tasks.add).task(2, 3)
    assert task.workload == (b'{"geartrain.arguments":[2,3],"geartrain.context":{"traceparent":"00-1-2-01"}}')
    assert isinstance(task, Task)


async def all_of_it(server: str) -> None:
    async with AsyncClient(server, timeout=20) as client:
        add = client.function(tasks.add)
        assert await add(2, 3) == 5
        future = add.submit(2)
        assert await future == 12
        assert await asyncio.gather(*(add.submit(n, n) for n in range(50))) == [2 * n for n in range(50)]
        assert await asyncio.gather(*(add(n, n) for n in range(50))) == [2 * n for n in range(50)]
        watched = client.function(tasks.steps).submit(3)
        assert [chunk async for chunk in watched.data()] == [b"0", b"1", b"2"]
        assert await watched == 3
        with pytest.raises(JobException, match="argument 'a'"):
            await add.submit("x")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            add.submit()  # type: ignore[call-arg]
        with pytest.raises(WaitTimeoutError):
            await client.function(tasks.wait).options(timeout=0.05)(1)
        assert (await client.function(tasks.add).background(1)).startswith("H:")
        tasks.gate.set()


def test_the_async_client_has_the_same_names_awaited(server: str) -> None:
    tasks.gate.clear()
    asyncio.run(all_of_it(server))


async def awaited(server: str) -> None:
    async with Client(server, timeout=20) as client:
        add = client.function(tasks.add)
        assert await add.submit(2, 3) == 5
        assert await asyncio.gather(*(add.submit(n) for n in range(5))) == [10, 11, 12, 13, 14]
        assert await add.map([1, 2]) == [11, 12]
        assert [result async for result in add.map([1, 2])] == [11, 12]


def test_the_futures_of_the_blocking_client_can_be_awaited(server: str) -> None:
    asyncio.run(awaited(server))
