"""A time-out says why: how many workers announced the function, and how many of its jobs wait."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from geartrain import Client, Executor, Task, WaitTimeoutError, chain, group
from geartrain.testing import EagerClient
from geartrain.wire import packets as p
from tests.harness.servers import JobServer, gearmand_c, gearmand_perl, geartrain

from .bench import Bench
from .shells import both_shells, client_of, task_set_of
from .workers import worker

TRIES = 30
"""Attempts until the answer came in time, on a busy machine."""
NOT_LONGER = 5.0
"""Seconds by which a call may be late on a busy machine."""
KINDS = {"geartrain": geartrain, "gearmand-c": gearmand_c, "gearmand-perl": gearmand_perl}


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[JobServer]:
    with KINDS[request.param]() as server:
        yield server


def told(error: WaitTimeoutError) -> tuple[int | None, int | None]:
    return error.workers, error.waiting


async def until_told(attempt: Callable[[str], Awaitable[object]]) -> WaitTimeoutError:
    """The time-out of an attempt. Each has a new name for its function, until the server told in time."""
    for number in range(TRIES):
        with pytest.raises(WaitTimeoutError) as raised:
            await attempt(f"absent{number}")
        if raised.value.workers is not None:
            return raised.value
    raise AssertionError("the server never told in time")


@both_shells
@pytest.mark.parametrize("timeout", [0.4, 0.1])
@pytest.mark.parametrize("prefix", ["", "test"])
@pytest.mark.parametrize("function", ["nothere", "not\there", "n\u00f6 one", "a name of far more words"])
def test_a_call_in_vain_tells_of_workers_and_waiting_jobs(
    server: JobServer, shell: str, timeout: float, prefix: str, function: str
) -> None:
    async def scenario() -> None:
        async with client_of(shell, server.address, prefix=prefix) as client:

            async def attempt(name: str) -> None:
                name = f"{function}_{shell}_{timeout}_{name}"
                await client.background(name)
                await client.background(name, b"other")
                began = time.monotonic()
                try:
                    await client.run(name, timeout=timeout)
                finally:
                    assert timeout <= time.monotonic() - began < timeout + NOT_LONGER

            error = await until_told(attempt)
            name = error.function
            assert name.startswith(function)
            assert told(error) == (0, 3)
            assert str(error) == (
                f"{name}: no result within {timeout:g} s: no worker of {name!r} is connected; 3 jobs wait"
            )
            assert told(pickle.loads(pickle.dumps(error))) == (0, 3)

    asyncio.run(scenario())


@both_shells
def test_every_wait_for_a_job_tells(server: JobServer, shell: str) -> None:
    async def scenario() -> None:
        async with client_of(shell, server.address) as client:

            async def result(name: str) -> None:
                await (await client.submit(f"result {shell} {name}")).result(timeout=0.3)

            async def exception(name: str) -> None:
                await (await client.submit(f"exception {shell} {name}")).exception(timeout=0.3)

            async def own(name: str) -> None:
                await (await client.submit(f"own {shell} {name}", timeout=0.3)).result()

            async def in_a_set(name: str) -> None:
                tasks = task_set_of(client)
                late = tasks.add(Task(f"set {shell} {name}", timeout=0.3))
                assert not await tasks.wait()
                assert late.failure is not None
                raise late.failure

            for attempt in (result, exception, own, in_a_set):
                error = await until_told(attempt)
                assert told(error) == (0, 1)
                assert str(error).endswith(f"no worker of {error.function!r} is connected; 1 job waits")

    asyncio.run(scenario())


def test_typed_functions_and_compositions_and_executors_tell(server: JobServer) -> None:
    with Client(server.address, timeout=0.3) as client, Executor(server.address) as pool:

        async def call(name: str) -> None:
            client.function(f"call {name}")(b"x")

        async def perform(name: str) -> None:
            function = client.function(f"perform {name}")
            both = group(function.call(b"1"), function.call(b"2"))
            client.perform(chain(both, lambda results: function.call(results[0])), timeout=0.3)

        async def map(name: str) -> None:
            list(client.function(f"map {name}").map([b"1", b"2"]))

        async def execute(name: str) -> None:
            pool.function(f"execute {name}").options(timeout=0.3).submit(b"x").result(10)

        for attempt, waiting in ((call, 1), (perform, 2), (map, 2), (execute, 1)):
            assert told(asyncio.run(until_told(attempt))) == (0, waiting)


def test_a_worker_that_is_busy_is_told(server: JobServer) -> None:
    with worker(server.host, server.port) as busy, Client(server.address) as client:
        held = client.submit("hold")

        async def attempt(name: str) -> None:
            client.run("echo", timeout=0.3)

        try:
            assert busy.held.wait(10)
            error = asyncio.run(until_told(attempt))
            assert "1 worker of 'echo' is connected; " in str(error)
            assert error.waiting
        finally:
            busy.release.set()
        assert held.result(10) == b""


@both_shells
def test_many_time_outs_at_once_ask_little(server: JobServer, shell: str) -> None:
    async def scenario() -> None:
        async with client_of(shell, server.address) as client:

            async def attempt(name: str) -> None:
                tasks = task_set_of(client)
                late = [tasks.add(Task(f"{shell} {name}", b"%d" % n, timeout=0.5)) for n in range(600)]
                began = time.monotonic()
                assert not await tasks.wait(20)
                assert time.monotonic() - began < 0.5 + 2 * NOT_LONGER
                # One answer is for all of them.
                assert len({told(task.failure) for task in late}) == 1
                raise late[0].failure

            assert told(await until_told(attempt)) == (0, 600)

    asyncio.run(scenario())


# On the bench


def timed_out(task: Task) -> WaitTimeoutError:
    assert isinstance(task.failure, WaitTimeoutError)
    return task.failure


def test_the_server_is_asked_once_for_all_jobs_of_a_function() -> None:
    bench = Bench()
    tasks = [bench.submit("f", timeout=2.0) for _ in range(3)] + [bench.submit("g", timeout=2.0)]
    bench.open()
    bench.sent()
    bench.wait(1.95)
    assert bench.sent() == [(p.TEXT, [b"status f"]), (p.TEXT, [b"status g"])]
    for _ in tasks:
        bench.reply(p.JOB_CREATED, b"H:1")
    bench.receive(b"f\t5\t2\t1\n.\ng\t1\t0\t0\n.\n")
    bench.wait(0.1)
    assert [told(timed_out(task)) for task in tasks] == [(1, 3)] * 3 + [(0, 1)]


def test_a_job_that_ends_in_time_costs_no_question() -> None:
    bench = Bench()
    task = bench.submit("f", timeout=2.0)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.reply(p.WORK_COMPLETE, b"H:1", b"x")
    assert task.result == b"x"
    bench.wait(5)
    assert bench.sent() == []
    assert bench.engine.next_time is None


def test_a_server_that_does_not_answer_in_time_delays_nothing() -> None:
    bench = Bench()
    task = bench.submit("f", timeout=2.0)
    bench.open()
    bench.sent()
    bench.wait(1.95)
    bench.sent()
    bench.wait(0.05)
    assert str(timed_out(task)) == "f: no result within 2 s"
    assert told(timed_out(task)) == (None, None)


@pytest.mark.parametrize("answer", [b"ERR ACCESS_DENIED You+may+not+do+that\r\n", b"ERR UNKNOWN_COMMAND\r\n"])
def test_a_server_that_refuses_the_question_is_not_asked_again(answer: bytes) -> None:
    bench = Bench()
    bench.submit("f", timeout=2.0)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.wait(1.95)
    assert bench.sent() == [(p.TEXT, [b"status f"])]
    bench.receive(answer)
    bench.wait(1)
    task = bench.submit("g", timeout=2.0)
    bench.wait(1.95)
    assert bench.sent()[0] == (p.OPTION_REQ, [b"withdraw=H:1"])
    assert not any(type == p.TEXT for type, _ in bench.sent())
    bench.reply(p.ERROR, b"UNKNOWN_OPTION", b"")
    bench.reply(p.JOB_CREATED, b"H:2")
    bench.reply(p.WORK_COMPLETE, b"H:2", b"x")
    assert task.result == b"x"


def test_a_function_that_the_server_does_not_know_keeps_no_other_from_being_asked_for() -> None:
    bench = Bench()
    first, second = bench.submit("f", timeout=2.0), bench.submit("g", timeout=3.0)
    bench.open()
    bench.sent()
    for _ in range(2):
        bench.reply(p.JOB_CREATED, b"H:1")
    bench.wait(1.95)
    bench.sent()
    bench.receive(b".\n")
    bench.wait(0.05)
    assert told(timed_out(first)) == (None, None)
    bench.wait(0.95)
    assert bench.sent()[-1] == (p.TEXT, [b"status g"])
    bench.reply(p.OPTION_RES, b"withdraw")
    bench.receive(b"g\t1\t0\t0\n.\n")
    bench.wait(0.05)
    assert told(timed_out(second)) == (0, 1)


def test_a_server_that_passes_the_question_over_stays_in_use() -> None:
    bench = Bench()
    bench.submit("f", timeout=2.0)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.wait(1.95)
    bench.sent()
    task = bench.submit("g")
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:2")
    bench.reply(p.WORK_COMPLETE, b"H:2", b"x")
    assert task.result == b"x"


def test_a_server_with_a_long_list_is_asked_seldom() -> None:
    bench = Bench()
    bench.submit("f", timeout=2.0)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.wait(1.95)
    bench.sent()
    bench.receive(b"".join(b"f%d\t0\t0\t0\n" % n for n in range(10_000)) + b".\n")
    for seconds, asked in [(2, 0), (9, 1)]:
        bench.wait(seconds)
        bench.submit("f", timeout=0.2)
        bench.sent()
        bench.wait(0.15)
        assert len(bench.sent()) == asked


def test_a_name_of_many_words_is_looked_for_in_the_list() -> None:
    # gearmand ends a connection over a line of six words.
    bench = Bench()
    task = bench.submit("one two three", timeout=2.0)
    bench.open()
    bench.sent()
    bench.reply(p.JOB_CREATED, b"H:1")
    bench.wait(1.95)
    assert bench.sent() == [(p.TEXT, [b"status"])]
    bench.receive(b"one\t9\t0\t9\none two three\t2\t0\t0\n.\n")
    bench.wait(0.05)
    assert told(timed_out(task)) == (0, 2)


@pytest.mark.parametrize("name", ["a\nshutdown", " blank", "n" * 2000])
def test_a_name_that_no_line_can_hold_is_not_asked_for(name: str) -> None:
    bench = Bench()
    bench.submit(name, timeout=2.0)
    bench.open()
    bench.sent()
    bench.wait(1.95)
    assert bench.sent() == []


def test_a_question_ends_with_its_connection() -> None:
    bench = Bench()
    task = bench.submit("f", timeout=2.0)
    bench.open()
    bench.sent()
    bench.wait(1.95)
    bench.sent()
    bench.lose()
    bench.open()
    assert [type for type, _ in bench.sent()] == [p.SUBMIT_JOB]
    bench.wait(0.05)
    assert told(timed_out(task)) == (None, None)


def test_a_time_out_before_there_is_a_connection_says_so() -> None:
    bench = Bench()
    task = bench.submit("f", timeout=2.0)
    bench.wait(2)
    assert str(timed_out(task)) == "f: no result within 2 s: there is no connection to a:4730 yet"


def test_an_eager_client_has_nothing_to_tell() -> None:
    with EagerClient() as client:
        future = client.submit("f")
        with pytest.raises(Exception, match="NO_WORKER"):
            future.result(timeout=0.01)
