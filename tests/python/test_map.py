"""Calling a function for many items, lazily, in both clients."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from geartrain import AsyncClient, Client, JobException, WaitTimeoutError

from . import tasks


def test_results_come_in_the_items_order(client: Client) -> None:
    assert list(client.map(tasks.square, range(500))) == [n * n for n in range(500)]
    assert list(client.map("upper", ["a", b"b"])) == [b"A", b"B"]
    assert list(client.map(tasks.add, [1, 2, 3], [10, 20])) == [11, 22]
    assert list(client.function(tasks.add).map([1, 2], window=1)) == [11, 12]
    assert list(client.map(tasks.square, [])) == []


def test_an_endless_iterable_is_taken_no_further_than_the_window(client: Client) -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        for n in itertools.count():
            taken.append(n)
            yield n

    results = client.map(tasks.square, endless(), window=10)
    assert taken == []
    assert list(itertools.islice(results, 50)) == [n * n for n in range(50)]
    assert 50 <= len(taken) <= 60
    results.close()
    assert list(results) == []


def test_unordered_results_do_not_wait_for_a_slow_one(client: Client) -> None:
    results = client.map(tasks.hold_first, range(20), ordered=False)
    assert sorted(itertools.islice(results, 19)) == list(range(1, 20))
    tasks.gate.set()
    assert list(results) == [0]


def test_a_slow_source_does_not_hold_up_the_results(client: Client) -> None:
    first_is_there = threading.Event()
    taken: list[int] = []

    def source() -> Iterator[int]:
        for n in range(90):
            taken.append(n)
            yield n
            first_is_there.wait(0.1)

    results = client.map(tasks.square, source())
    assert next(results) == 0
    first_is_there.set()
    assert len(taken) < 90
    assert list(results) == [n * n for n in range(1, 90)]


def test_the_first_failure_is_raised_when_it_is_its_turn(client: Client) -> None:
    results = client.map(tasks.square, [1, -2, 3])
    assert next(results) == 1
    with pytest.raises(JobException, match="-2 is negative"):
        next(results)
    assert list(results) == []


def test_failures_may_be_given_in_their_places(client: Client) -> None:
    one, two, three = client.function(tasks.square).map([1, -2, 3], return_exceptions=True)
    assert (one, three) == (1, 9)
    assert isinstance(two, JobException)


def test_an_error_of_the_source_comes_out_and_ends_it(client: Client) -> None:
    def source() -> Iterator[int]:
        yield from (1, 2)
        raise LookupError("no more")

    results = client.map(tasks.square, source())
    with pytest.raises(LookupError, match="no more"):
        list(results)
    assert client.function(tasks.add)(1) == 11


def test_the_source_may_use_the_client_itself(client: Client) -> None:
    squares = client.map(tasks.square, range(100), window=7)
    assert list(client.map(tasks.add, squares, window=3)) == [n * n + 10 for n in range(100)]


def test_progress_is_told_with_the_parts_of_running_jobs(client: Client) -> None:
    told: list[tuple[float, int | None]] = []
    results = client.map(tasks.steps, [1] * 50, on_progress=lambda done, total: told.append((done, total)))
    assert list(results) == [1] * 50
    done_at_last, total_at_last = told[-1]
    assert (done_at_last, total_at_last) == (50.0, 50)
    assert all(total == 50 for _, total in told)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    endless: list[int | None] = []
    list(client.map(tasks.square, iter(range(5)), on_progress=lambda done, total: endless.append(total)))
    assert endless[-1] == 5


def test_a_result_that_does_not_come_in_time_can_be_waited_for_again(server: str) -> None:
    tasks.gate.clear()
    with Client(server, timeout=0.1) as client:
        results = client.map(tasks.wait, [1])
        with pytest.raises(WaitTimeoutError, match=r"wait: no result within 0\.1 s"):
            next(results)

        def slow() -> Iterator[int]:
            for n in range(3):
                time.sleep(0.15)
                yield n

        assert list(client.map(tasks.square, slow())) == [0, 1, 4], "the source's own time does not count"
        tasks.gate.set()
        assert list(results) == [1]


def test_a_window_holds_at_least_one_job(client: Client) -> None:
    with pytest.raises(ValueError, match="at least one job"):
        client.map(tasks.square, [1], window=0)


async def numbers(count: int) -> AsyncIterator[int]:
    for n in range(count):
        if n % 10 == 9:
            await asyncio.sleep(0)
        yield n


async def everything(server: str) -> None:
    tasks.gate.clear()
    async with AsyncClient(server, timeout=20) as client:
        squares = [n * n for n in range(300)]
        assert await client.map(tasks.square, range(300)) == squares
        assert [n async for n in client.map(tasks.square, range(300))] == squares
        assert await client.map(tasks.square, numbers(300), window=20) == squares
        assert sorted(await client.map(tasks.square, numbers(300), ordered=False)) == squares
        unordered = client.map(tasks.hold_first, range(20), ordered=False)
        assert sorted([await anext(unordered) for _ in range(19)]) == list(range(1, 20))
        tasks.gate.set()
        assert [n async for n in unordered] == [0]
        with pytest.raises(JobException, match="-2 is negative"):
            await client.map(tasks.square, [1, -2, 3])
        given = await client.function(tasks.square).map([1, -2], return_exceptions=True)
        assert isinstance(given[1], JobException)


def test_the_async_client_maps_over_iterables_of_both_kinds(server: str) -> None:
    asyncio.run(everything(server))


async def slow_source(server: str) -> None:
    more = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        await asyncio.wait_for(more.wait(), 10)
        yield 2

    async with AsyncClient(server, timeout=20) as client:
        results = client.map(tasks.square, source())
        assert await anext(results) == 1
        more.set()
        assert [n async for n in results] == [4]


def test_a_slow_async_source_does_not_hold_up_the_results(server: str) -> None:
    asyncio.run(slow_source(server))


async def cancelled(server: str) -> None:
    tasks.gate.clear()
    async with AsyncClient(server, timeout=0.1) as client:
        for items in ([1, 2], numbers(2)):
            with pytest.raises(WaitTimeoutError):
                await client.map(tasks.wait, items)
    async with AsyncClient(server, timeout=20) as client:
        results = client.map(tasks.wait, [1, 2])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(results), 0.05)
        tasks.gate.set()
        assert [n async for n in results] == [1, 2]


def test_a_cancelled_wait_for_a_result_can_be_taken_up_again(server: str) -> None:
    asyncio.run(cancelled(server))


PROGRAM = """
import resource, sys
from itertools import count
from geartrain import Client

def used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def square(n: int) -> int:
    raise NotImplementedError

with Client(sys.argv[1]) as client:
    for n, result in enumerate(client.map(square, count(), window=500)):
        assert result == n * n
        if n == 3_000:
            before = used()
        elif n == 20_000:
            break
print(used() - before)
"""


def test_the_memory_of_a_client_does_not_grow_with_the_items(server: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, server], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    kibibytes = int(done.stdout)
    assert kibibytes < 4096, "17,000 results of the million, and nothing of them is kept"
