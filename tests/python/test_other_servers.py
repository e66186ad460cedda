"""Typed functions, map and compositions need nothing of a job server but Gearman: any will do."""

from __future__ import annotations

import asyncio
import copy

import pytest

from geartrain import AsyncClient, Client, Executor, JobException, JobFailed, chain, each
from tests.harness.servers import SERVERS
from tests.worker.running import working

from . import tasks


async def awaited(address: str) -> list[int]:
    async with AsyncClient(address, timeout=20) as client:
        return await client.map(tasks.square, range(200), ordered=False)


@pytest.mark.parametrize("kind", SERVERS)
def test_they_work_with_every_job_server(kind: str) -> None:
    with SERVERS[kind]() as server:
        worker = copy.copy(tasks.worker)
        worker.servers = server.address
        worker._loops = []
        with working(worker), Client(server.address, timeout=20) as client:
            add, square = client.function(tasks.add), client.function(tasks.square)
            assert add(2, 3) == 5
            assert list(square.map(range(200))) == [n * n for n in range(200)]
            numbers, total = client.function(tasks.numbers), client.function(tasks.total)
            assert client.perform(chain(numbers.call(9), each(square.call), total.call)) == 204
            assert add.options(unique="u").background(1).startswith("H:")
            # The server in Perl passes no exceptions on.
            with pytest.raises((JobException, JobFailed)):
                square(-1)
            assert sorted(asyncio.run(awaited(server.address))) == [n * n for n in range(200)]
            with Executor(server.address) as pool:
                assert list(pool.map(tasks.square, range(50))) == [n * n for n in range(50)]
