"""What `concurrent.futures` promises of executors, on workers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, as_completed, wait

import pytest

from geartrain import Executor, JobException, NoServersError, ResultError
from tests.harness.processes import free_port

from . import tasks


@pytest.fixture
def pool(server: str) -> Iterator[Executor]:
    tasks.ran.clear()
    tasks.gate.clear()
    with Executor(server) as pool:
        yield pool
        tasks.gate.set()


def test_code_for_a_pool_of_processes_runs(pool: Executor) -> None:
    assert pool.submit(tasks.add, 2, 3).result(10) == 5
    assert pool.submit(tasks.add, 2, b=3).result(10) == 5
    assert list(pool.map(tasks.square, range(200))) == [n * n for n in range(200)]
    futures = [pool.submit(tasks.square, n) for n in range(50)]
    assert sorted(future.result() for future in as_completed(futures, 10)) == [n * n for n in range(50)]
    done, not_done = wait(futures, 10)
    assert (len(done), len(not_done)) == (50, 0)


def test_futures_end_by_themselves_and_call_back(pool: Executor) -> None:
    ended = threading.Event()
    results: list[int] = []

    def call_back(future: Future[int]) -> None:
        results.append(future.result())
        if len(results) == 2:
            ended.set()
        else:
            # From here, too, more can be submitted.
            pool.submit(tasks.add, 1, 1).add_done_callback(call_back)

    pool.submit(tasks.add, 2, 3).add_done_callback(call_back)
    assert ended.wait(10)
    assert results == [5, 2]


def test_failures_are_the_future_s_exceptions(pool: Executor) -> None:
    with pytest.raises(JobException, match="-1 is negative"):
        pool.submit(tasks.square, -1).result(10)
    assert isinstance(pool.submit(tasks.wrong).exception(10), ResultError)


def test_the_first_job_ends_though_the_pool_is_shut_down_while_it_is_submitted(pool: Executor) -> None:
    start = pool._start_reading

    def shut_down_before() -> None:
        pool.shutdown(wait=False)
        start()

    pool._start_reading = shut_down_before  # type: ignore[method-assign]
    assert pool.submit(tasks.add, 2, 3).result(10) == 5
    pool.shutdown()


def test_a_function_that_no_worker_has_is_refused(pool: Executor) -> None:
    with pytest.raises(TypeError, match="not declared with @worker"):
        pool.submit(len, "abc")
    with pytest.raises(TypeError, match="missing a required argument"):
        pool.submit(tasks.add)  # type: ignore[call-arg]


def test_a_name_is_a_function_of_bytes(pool: Executor) -> None:
    upper: Callable[[bytes], bytes] = "upper"  # type: ignore[assignment]
    assert pool.submit(upper, b"abc").result(10) == b"ABC"


def test_a_future_that_is_cancelled_leaves_the_others_alone(pool: Executor) -> None:
    first, second = pool.submit(tasks.wait, 1), pool.submit(tasks.wait, 2)
    assert first.cancel()
    assert first.cancel()
    with pytest.raises(CancelledError):
        first.result()
    tasks.gate.set()
    assert second.result(10) == 2
    assert not second.cancel()


def test_it_is_shut_down_when_all_has_ended(server: str) -> None:
    tasks.gate.clear()
    pool = Executor(server)
    future = pool.submit(tasks.wait, 1)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(tasks.add, 1)
    tasks.gate.set()
    assert future.result(10) == 1
    pool.shutdown()
    assert pool._thread is not None
    assert not pool._thread.is_alive()
    Executor(server).shutdown()


def test_what_has_not_ended_may_be_cancelled_at_the_end(server: str) -> None:
    tasks.gate.clear()
    pool = Executor(server)
    future = pool.submit(tasks.wait, 1)
    pool.shutdown(cancel_futures=True)
    assert future.cancelled()
    tasks.gate.set()


def test_without_a_server_it_says_so() -> None:
    with Executor(f"127.0.0.1:{free_port()}") as pool, pytest.raises(NoServersError):
        pool.submit(tasks.add, 1)


def test_its_functions_are_those_of_a_client(pool: Executor) -> None:
    add = pool.function(tasks.add)
    assert add(2, 3) == 5
    assert add.submit(2).result(10) == 12
    assert list(add.options(priority="high").map([1, 2])) == [11, 12]
    assert add.options(priority="high").submit(1).result(10) == 11


async def awaited(server: str) -> None:
    loop = asyncio.get_running_loop()
    async with Executor(server) as pool:
        assert await loop.run_in_executor(pool, tasks.add, 2, 3) == 5
        add = pool.function(tasks.add)
        assert await asyncio.gather(*(add.submit(n) for n in range(20))) == [n + 10 for n in range(20)]


def test_asyncio_takes_it_too(server: str) -> None:
    asyncio.run(awaited(server))


def test_a_result_that_cannot_be_taken_apart_is_its_own_futures_failure(
    pool: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(data: bytes) -> int:
        raise KeyError("not like this")

    square = pool.function(tasks.square)
    monkeypatch.setattr(square, "decode", refuse)
    with pytest.raises(KeyError, match="not like this"):
        square.submit(3).result(10)
    assert pool.submit(tasks.add, 2, 3).result(10) == 5


def test_what_is_called_back_when_a_future_is_cancelled_may_wait_for_another(pool: Executor) -> None:
    first, second = pool.submit(tasks.wait, 1), pool.submit(tasks.wait, 2)
    waits = threading.Event()
    results: list[int] = []

    def wait_for_the_first(future: Future[int]) -> None:
        waits.set()
        results.append(first.result(10))

    second.add_done_callback(wait_for_the_first)
    cancels = threading.Thread(target=second.cancel, daemon=True)
    cancels.start()
    assert waits.wait(10)
    tasks.gate.set()
    cancels.join(10)
    assert not cancels.is_alive()
    assert results == [1]
    assert pool.submit(tasks.add, 2, 3).result(10) == 5
