"""Clients that run the functions themselves, and remember what was submitted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import count, islice

import pytest

from geartrain import (
    AsyncTaskSet,
    GroupError,
    Job,
    JobException,
    JobFailed,
    JobStatus,
    ServerError,
    Task,
    TaskSet,
    Worker,
    chain,
    each,
    group,
)
from geartrain.testing import AsyncEagerClient, EagerClient, SubmittedJob
from tests.python import tasks

worker = Worker()


@worker.function("chatty")
def chatty(job: Job) -> bytes:
    job.status(1, 2)
    job.data(b"a")
    job.warning(b"w")
    return job.workload


@worker.function
def refuse(why: str) -> None:
    raise JobFailed if not why else ValueError(why)


@worker.function
async def later(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


@pytest.mark.parametrize("given", ["too small", b"too small"])
def test_a_job_exception_reaches_the_caller_with_its_text(given: bytes | str) -> None:
    worker = Worker()

    @worker.function("plain")
    def plain(job: Job) -> bytes:
        raise JobException(given)

    @worker.function("coroutine")
    async def coroutine(job: Job) -> bytes:
        raise JobException(given)

    async def main() -> None:
        async with AsyncEagerClient(worker) as client:
            for function in ("plain", "coroutine"):
                with pytest.raises(JobException, match="too small"):
                    await client.run(function)

    with EagerClient(worker) as client:
        for function in ("plain", "coroutine"):
            with pytest.raises(JobException, match="too small"):
                client.run(function)
    asyncio.run(main())


def test_functions_are_run_by_the_caller() -> None:
    with EagerClient(tasks.worker, worker) as client:
        assert client.function(tasks.add)(2, 3) == 5
        assert client.function(later)(1) == 2
        assert client.run("upper", b"x") == b"X"
        assert client.echo(b"hello") == b"hello"
        future = client.submit("chatty", b"x")
        assert future.done()
        assert list(future.data()) == [b"a"]
        assert future.result() == b"x"
        assert (future.task.numerator, future.task.denominator) == (1, 2)


def test_failures_come_as_from_a_server() -> None:
    with EagerClient(worker) as client:
        with pytest.raises(JobException, match="no milk"):
            client.function(refuse)("no milk")
        with pytest.raises(JobFailed):
            client.function(refuse)("")
        with pytest.raises(JobException, match="argument 'why'"):
            client.function(refuse)(3)  # type: ignore[arg-type]
    with EagerClient(worker, exceptions=False) as client, pytest.raises(JobFailed):
        client.function(refuse)("no milk")


def test_task_sets_maps_and_compositions_work() -> None:
    with EagerClient(tasks.worker, worker) as client:
        heard: list[object] = []
        both = TaskSet(client)
        both.add(Task("chatty", b"1", on_data=lambda task, data: heard.append(data)))
        both.add(Task("chatty", b"2", on_complete=lambda task, result: heard.append(result)))
        assert both.wait()
        assert heard == [b"a", b"2"]
        square, total = client.function(tasks.square), client.function(tasks.total)
        assert list(islice(square.map(count()), 5)) == [0, 1, 4, 9, 16]
        assert list(square.map(range(5), ordered=False)) == [0, 1, 4, 9, 16]
        numbers = client.function(tasks.numbers)
        assert client.perform(chain(numbers.call(4), each(square.call), total.call)) == 14
        with pytest.raises(GroupError):
            client.perform(group(square.call(-1), square.call(1)))


def test_a_function_may_use_the_client_that_runs_it() -> None:
    inner = Worker()
    client = EagerClient(tasks.worker, inner)

    @inner.function
    def twice(n: int) -> int:
        first = client.function(tasks.square).submit(n)
        return first.result() + client.function(tasks.square)(n)

    assert [future.result() for future in [client.function(twice).submit(n) for n in range(3)]] == [0, 2, 8]
    results = TaskSet(client)
    for n in range(3):
        results.add(client.function(twice).task(n))
    assert results.wait()


def test_what_was_submitted_is_remembered() -> None:
    client = EagerClient(prefix="shop")
    at = datetime(2031, 1, 1, tzinfo=UTC)
    handle = client.function(tasks.add).options(unique="u").background(1, b=2)
    client.function(tasks.add).options(at=at).background(3)
    client.background("mail", b"hello", priority="low")
    assert handle == "H:local:1"
    assert client.status(handle) == JobStatus(False, False)
    assert client.calls(tasks.add) == [{"a": 1, "b": 2}, {"a": 3}]
    assert client.jobs == [
        SubmittedJob("shop\tadd", b"[1,2]", unique="u", background=True),
        SubmittedJob("shop\tadd", b"[3]", background=True, at=at),
        SubmittedJob("shop\tmail", b"hello", priority="low", background=True),
    ]


def test_answers_may_be_set_and_without_one_a_foreground_job_is_refused() -> None:
    client = EagerClient()
    client.answer(tasks.add, 7)
    client.answer("upper", "X")
    assert client.function(tasks.add)(1, 2) == 7
    assert client.run("upper", b"a") == b"X"
    with pytest.raises(ServerError, match="no worker here has the function 'square'") as error:
        client.function(tasks.square)(2)
    assert error.value.code == "NO_WORKER"


def test_what_can_not_end_is_an_error_not_a_hang() -> None:
    own = Worker()
    client = EagerClient(own)
    tasks_of_it: list[Task] = []

    @own.function("self")
    def wait_for_oneself(job: Job) -> bytes:
        return client.submit("other").result() if not tasks_of_it else b""

    @own.function("other")
    def other(job: Job) -> bytes:
        waiting = TaskSet(client)
        waiting._group.remaining += 1
        waiting.wait()
        return b""

    with pytest.raises(JobException, match="would wait for ever"):
        client.run("self")


def hooked(heard: list[str]) -> Worker:
    own = Worker()
    own.on_start(lambda: heard.append("start"))
    own.on_stop(lambda: heard.append("stop"))
    own.before_job(lambda job: heard.append(f"before {job.function}"))
    own.register("plain", lambda job: b"")

    @own.on_start
    async def start() -> None:
        heard.append("start of the loop")

    @own.on_stop
    async def stop() -> None:
        heard.append("stop of the loop")

    @own.function
    async def awaited(n: int) -> int:
        return n

    return own


def test_a_worker_s_hooks_are_called() -> None:
    heard: list[str] = []
    with EagerClient(hooked(heard)) as client:
        assert heard == []
        client.run("plain")
        client.run("plain")
    assert heard == ["start", "before plain", "before plain", "stop"]


def test_hooks_that_are_coroutines_are_called_by_the_async_one() -> None:
    heard: list[str] = []

    async def main() -> None:
        async with AsyncEagerClient(hooked(heard)) as client:
            await client.run("plain")
            await asyncio.gather(client.run("awaited", b"[1]"), client.run("awaited", b"[2]"))

    asyncio.run(main())
    in_between = ["before plain", "start of the loop", "before awaited", "before awaited", "stop of the loop"]
    assert heard == ["start", *in_between, "stop"]


async def awaited() -> None:
    async with AsyncEagerClient(tasks.worker, worker) as client:
        assert await client.function(tasks.add)(2, 3) == 5
        assert await asyncio.gather(*(client.function(later).submit(n) for n in range(10))) == list(
            range(1, 11)
        )
        future = await client.submit("chatty", b"x")
        assert [chunk async for chunk in future.data()] == [b"a"]
        with pytest.raises(JobFailed):
            await client.function(refuse)("")
        some = AsyncTaskSet(client)
        some.add(client.function(later).task(1))
        assert await some.wait()
        assert client.calls(refuse) == [{"why": ""}]


def test_the_async_one_runs_coroutines_in_the_caller_s_loop() -> None:
    asyncio.run(awaited())


async def closed() -> None:
    forever = Worker()

    @forever.function
    async def sleep(n: int) -> None:
        await asyncio.sleep(3600)

    client = AsyncEagerClient(forever)
    client.function(sleep).submit(1)
    await asyncio.sleep(0)
    await client.close()
    assert len(asyncio.all_tasks()) == 1


def test_closing_the_async_one_leaves_no_coroutine_behind() -> None:
    asyncio.run(closed())
