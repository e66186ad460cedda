"""Thousands of jobs in flight on one connection of the async client, and what cancelling does to them."""

from __future__ import annotations

import asyncio
import gc

from geartrain import AsyncClient, JobStatus, WaitTimeoutError
from tests.harness.processes import wait_until
from tests.server.running import RunningServer

from . import tasks

MANY = 10_000


async def cancel_half(server: RunningServer, address: str) -> None:
    async with AsyncClient(address, timeout=60) as client:
        wait = client.function(tasks.wait)
        calls = [asyncio.create_task(wait(n)) for n in range(MANY)]
        assert (await client.echo(b"all are sent")) == b"all are sent"
        assert server.ask(lambda server: len(server.broker.jobs)) == MANY
        assert server.ask(lambda server: len(server.connections)) == 3, (
            "two of the workers, one of the client"
        )
        for call in calls[::2]:
            call.cancel()
        tasks.gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
        assert results[1::2] == list(range(1, MANY, 2))
        # Nothing is left of those that were cancelled, and the connection is as good as new.
        assert await client.function(tasks.add)(1, 2) == 3
        await asyncio.to_thread(
            wait_until, lambda: server.ask(lambda server: len(server.broker.jobs)) == 0, "no job is left"
        )
        assert (await client.echo(b"and now")) == b"and now"
        assert not any(link.jobs or link.awaited for link in client._engine.links)


def test_ten_thousand_jobs_are_in_flight_and_half_are_cancelled(running: RunningServer, server: str) -> None:
    tasks.gate.clear()
    asyncio.run(cancel_half(running, server))


async def cancel_and_go_on(address: str) -> None:
    async with AsyncClient(address, timeout=20) as client:
        wait, add = client.function(tasks.wait), client.function(tasks.add)
        # In every state: not sent yet, sent, acknowledged, running.
        for pause in (0, 1, 2, 5):
            call = asyncio.create_task(wait(1))
            for _ in range(pause):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        future = wait.submit(2)
        await future.created()
        waiting = asyncio.ensure_future(future.result())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not future.done(), "only the wait was cancelled"
        tasks.gate.set()
        assert await future == 2
        assert await add(1, 2) == 3


def test_a_cancelled_await_leaves_the_connection_usable(server: str) -> None:
    tasks.gate.clear()
    asyncio.run(cancel_and_go_on(server))


async def time_outs(address: str) -> None:
    async with AsyncClient(address) as client:
        wait = client.function(tasks.wait)
        for late in (wait.options(timeout=0.05)(1), wait.submit(2).result(timeout=0.05)):
            try:
                await late
            except WaitTimeoutError:
                continue
            raise AssertionError("it should have timed out")
        try:
            async with asyncio.timeout(0.05):
                await wait(3)
        except TimeoutError:
            pass
        else:
            raise AssertionError("it should have timed out")
        tasks.gate.set()
        assert await wait(4) == 4


def test_time_outs_of_both_kinds_leave_it_usable(server: str) -> None:
    tasks.gate.clear()
    asyncio.run(time_outs(server))


async def data_and_status(address: str) -> None:
    async with AsyncClient(address, timeout=20) as client:
        futures = [client.function(tasks.steps).submit(20) for _ in range(20)]

        async def chunks(future: object) -> list[bytes]:
            return [chunk async for chunk in future.data()]  # type: ignore[attr-defined]

        numbers = [str(n).encode() for n in range(20)]
        assert await asyncio.gather(*map(chunks, futures)) == [numbers] * 20
        assert await asyncio.gather(*futures) == [20] * 20
        assert futures[0].status == JobStatus(False, False, 20, 20)
        told: list[int] = []
        async for status in client.function(tasks.climb).submit(3).statuses():
            told.append(status.numerator)
            tasks.seen.release()
        assert told == [1, 2, 3]


def test_data_and_status_are_iterated_side_by_side(server: str) -> None:
    asyncio.run(data_and_status(server))


def test_nothing_is_left_behind_when_a_loop_ends(server: str) -> None:
    async def leave() -> None:
        tasks.gate.clear()
        async with AsyncClient(server) as client:
            calls = [asyncio.create_task(client.function(tasks.wait)(n)) for n in range(10)]
            await asyncio.sleep(0)
            await client.echo()
            results = client.map(tasks.wait, range(10))
            pending = asyncio.create_task(anext(results))
            await asyncio.sleep(0)
        tasks.gate.set()
        ended = await asyncio.gather(*calls, pending, return_exceptions=True)
        assert all(isinstance(error, Exception) for error in ended)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(leave())
    gc.collect()
