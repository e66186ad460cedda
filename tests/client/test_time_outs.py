"""A time-out says why: how many workers announced the function, and how many of its jobs wait."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest

from geartrain import Client, Executor, Task, WaitTimeoutError, chain
from geartrain.testing import EagerClient
from geartrain.wire import packets as p
from tests.harness.servers import JobServer, gearmand_c, gearmand_perl, geartrain

from .bench import Bench
from .shells import both_shells, client_of, task_set_of
from .workers import worker

NOT_LONGER = 0.5
"""Seconds by which a call may be late on a busy machine."""
KINDS = {"geartrain": geartrain, "gearmand-c": gearmand_c, "gearmand-perl": gearmand_perl}


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[JobServer]:
    with KINDS[request.param]() as server:
        yield server


def told(error: WaitTimeoutError) -> tuple[int | None, int | None]:
    return error.workers, error.waiting


@both_shells
@pytest.mark.parametrize("timeout", [0.4, 0.1])
@pytest.mark.parametrize("prefix", ["", "test"])
@pytest.mark.parametrize("function", ["nothere", "not\there", "n\u00f6 one"])
def test_a_call_in_vain_tells_of_workers_and_waiting_jobs(
    server: JobServer, shell: str, timeout: float, prefix: str, function: str
) -> None:
    async def scenario() -> None:
        async with client_of(shell, server.address, prefix=prefix) as client:
            name = f"{function} {shell} {timeout}"
            await client.background(name)
            await client.background(name, b"other")
            began = time.monotonic()
            with pytest.raises(WaitTimeoutError) as raised:
                await client.run(name, timeout=timeout)
            assert timeout <= time.monotonic() - began < timeout + NOT_LONGER
            error = raised.value
            assert told(error) == (0, 3)
            assert error.function == name
            assert str(error) == (
                f"{name}: no result within {timeout:g} s: no worker of {name!r} is connected; 3 jobs wait"
            )
            assert told(pickle.loads(pickle.dumps(error))) == (0, 3)

    asyncio.run(scenario())


@both_shells
def test_every_wait_for_a_job_tells(server: JobServer, shell: str) -> None:
    async def scenario() -> None:
        async with client_of(shell, server.address) as client:
            future = await client.submit(f"absent {shell}")
            for call in (future.result, future.exception):
                with pytest.raises(
                    WaitTimeoutError, match=r"no worker of 'absent .*' is connected; 1 job waits"
                ):
                    await call(timeout=0.3)
            own = await client.submit(f"absent2 {shell}", timeout=0.3)
            with pytest.raises(
                WaitTimeoutError, match=r"no worker of 'absent2 .*' is connected; 1 job waits"
            ):
                await own.result()
            tasks = task_set_of(client)
            late = tasks.add(Task(f"absent3 {shell}", timeout=0.3))
            assert not await tasks.wait()
            assert told(late.failure) == (0, 1)

    asyncio.run(scenario())


def test_typed_functions_and_compositions_and_executors_tell(server: JobServer) -> None:
    with Client(server.address, timeout=0.3) as client:
        function = client.function("typed")
        with pytest.raises(WaitTimeoutError) as raised:
            function(b"x")
        assert told(raised.value)[0] == 0
        with pytest.raises(
            WaitTimeoutError, match=r"not done in time; .*: no worker of 'mapped' is connected; 2 jobs"
        ):
            client.perform(both(client), timeout=0.3)
        with pytest.raises(WaitTimeoutError, match="no worker of 'mapped2' is connected; 2 jobs wait"):
            list(client.function("mapped2").map([b"1", b"2"]))
    with Executor(server.address) as pool:
        future = pool.function("executed").options(timeout=0.3).submit(b"x")
        error = future.exception(10)
        assert isinstance(error, WaitTimeoutError)
        assert told(error) == (0, 1)


def both(client: Client) -> Any:
    from geartrain import group

    mapped = client.function("mapped")
    return chain(group(mapped.call(b"1"), mapped.call(b"2")), lambda results: mapped.call(results[0]))


def test_a_worker_that_is_busy_is_told(server: JobServer) -> None:
    with worker(server.host, server.port) as busy, Client(server.address) as client:
        held = client.submit("hold")
        try:
            assert busy.held.wait(10)
            with pytest.raises(WaitTimeoutError, match="1 worker of 'echo' is connected; 1 job waits"):
                client.run("echo", timeout=0.3)
        finally:
            busy.release.set()
        assert held.result(10) == b""


@both_shells
def test_many_time_outs_at_once_ask_little(server: JobServer, shell: str) -> None:
    async def scenario() -> None:
        async with client_of(shell, server.address) as client:
            tasks = task_set_of(client)
            late = [tasks.add(Task(f"of many {n % 3}", b"%d" % n, timeout=0.5)) for n in range(600)]
            began = time.monotonic()
            assert not await tasks.wait(20)
            assert time.monotonic() - began < 0.5 + 2 * NOT_LONGER
            assert {task.failure.workers for task in late} == {0}

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
    assert [type for type, _ in bench.sent()] == [p.SUBMIT_JOB]
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
    assert bench.sent() == [(p.TEXT, [b"status g"])]
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
