"""The same program runs with the blocking client, the async client, the executor and eagerly."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from geartrain import AsyncClient, Client, Executor
from geartrain.testing import AsyncEagerClient, EagerClient, LocalServer
from tests.python import tasks

from .same_program import program

CONSTRUCTORS: list[Callable[[str], Any]] = [
    lambda address: Client(address),
    lambda address: AsyncClient(address),
    lambda address: Executor(address),
    lambda address: EagerClient(tasks.worker),
    lambda address: AsyncEagerClient(tasks.worker),
]


@pytest.mark.parametrize("make", CONSTRUCTORS, ids=["blocking", "async", "executor", "eager", "async eager"])
def test_the_same_program_runs_unchanged(make: Callable[[str], Any], gearman_server: LocalServer) -> None:
    gearman_server.work(tasks.worker)

    async def main() -> list[object]:
        return await program(make(gearman_server.address))

    assert asyncio.run(main()) == [
        [0, 2, 4, 6],
        6.0,
        [0, 1, 4, 9, 16],
        [0, 1, 4],
        b"TEXT",
        "-1 is negative",
        "add: argument 'a': Expected `int`, got `str`",
    ]


def test_it_has_twenty_lines() -> None:
    assert len(inspect.getsource(program).splitlines()) <= 22
