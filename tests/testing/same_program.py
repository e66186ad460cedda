"""One program for every kind of client; only the line that makes the client differs."""

from __future__ import annotations

import asyncio
from typing import Any

from geartrain import JobException
from tests.python import tasks


async def program(client: Any) -> list[object]:
    async with client:
        add = client.function(tasks.add)
        area = client.function(tasks.area)
        square = client.function(tasks.square)
        futures = [add.submit(n, n) for n in range(4)]
        said: list[object] = [await asyncio.gather(*futures)]
        said.append(await area.submit(tasks.Rectangle(2.0, 3.0)))
        said.append(await square.map(range(5)))
        said.append([result async for result in square.map(range(3), window=1)])
        said.append(await client.function("upper").submit(b"text"))
        try:
            await square.submit(-1)
        except JobException as error:
            said.append(str(error))
        try:
            await add.options(priority="high").submit("one")
        except JobException as error:
            said.append(str(error))
        return said
