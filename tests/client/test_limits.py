"""Time limits that are no ordinary numbers, wherever a caller may give one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from math import inf, nan
from typing import Any

import pytest

from geartrain import Admin, AsyncAdmin, AsyncClient, Client, Task, WaitTimeoutError
from tests.harness.processes import wait_until

from .shells import both_shells, task_set_of
from .stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage("geartrain")
    yield stage
    stage.close()


def test_a_wait_may_be_endless_whoever_leads(stage: Stage) -> None:
    with Client(stage.address) as client:
        futures = [client.submit("hold", b"x") for _ in range(2)]
        results: list[bytes] = []

        def get(number: int) -> None:
            results.append(futures[number].result(timeout=(inf, 1e300)[number]))

        threads = [threading.Thread(target=get, args=(number,), daemon=True) for number in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: client._turns.leading and client._turns.followers, "one leads and one follows")
        stage.worker.release.set()
        for thread in threads:
            thread.join(10)
        assert results == [b"x", b"x"]


@both_shells
@pytest.mark.parametrize("limit", [inf, 1e300])
def test_any_limit_may_be_endless(stage: Stage, shell: str, limit: float) -> None:
    async def scenario(client: Any) -> None:
        assert await client.run("reverse", b"ab", timeout=limit) == b"ba"
        assert await client.echo(b"x", timeout=limit) == b"x"
        future = client.submit("reverse", b"ab", timeout=limit)
        future = await future if asyncio.iscoroutine(future) else future
        assert await future.result(timeout=limit) == b"ba"
        tasks = task_set_of(client)
        tasks.add(Task("echo", timeout=limit))
        assert await tasks.wait(timeout=limit)
        with pytest.raises(WaitTimeoutError):
            await client.echo(timeout=-limit)

    names = ("timeout", "connect_timeout", "probe_interval", "probe_timeout")
    stage.play(shell, scenario, **dict.fromkeys(names, limit))


@both_shells
def test_none_may_be_no_number(stage: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        future = client.submit("nobody")
        future = await future if asyncio.iscoroutine(future) else future
        for wait in (
            client.run("reverse", timeout=nan),
            client.echo(timeout=nan),
            future.result(timeout=nan),
        ):
            with pytest.raises(ValueError, match=r"nan|NaN"):
                await wait

    stage.play(shell, scenario)
    clients: list[Any] = [Client, AsyncClient]
    for make in clients:
        for name in ("timeout", "connect_timeout", "probe_interval", "probe_timeout"):
            with pytest.raises(ValueError, match="NaN"):
                make(stage.address, **{name: nan})
    for make_admin in (Admin, AsyncAdmin):
        with pytest.raises(ValueError, match="NaN"):
            make_admin(stage.address, timeout=nan)


def test_orders_may_have_all_the_time_that_they_take(stage: Stage) -> None:
    for limit in (inf, 1e300):
        with Admin(stage.address, timeout=limit) as admin:
            assert admin.version()

        async def ask(limit: float = limit) -> str:
            async with AsyncAdmin(stage.address, timeout=limit) as admin:
                return await admin.version()

        assert asyncio.run(ask())
