"""How the clients of all libraries are timed: seconds, and the CPU of client, server and worker together."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def cpu() -> float:
    """Seconds of CPU of this process, of the server, and of the worker: its group and its children."""
    group, server = os.environ["BENCH_WORKER"], os.environ["BENCH_SERVER"]
    used = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        fields = rest.split()
        if group in fields[1:3] or name.startswith(f"{server} "):
            # Its own, and that of its children that have ended.
            used += sum(map(int, fields[11:15]))
    return used / _TICK + time.process_time()


def timed(submit: Callable[[int], None]) -> None:
    """Time `submit(COUNT)`, which returns when COUNT results are there."""
    submit(1)
    before, start = cpu(), time.perf_counter()
    submit(int(sys.argv[2]))
    print(time.perf_counter() - start, cpu() - before)


def timed_async(submit: Callable[[int], Awaitable[None]]) -> None:
    """The same for coroutines."""

    async def main() -> None:
        await submit(1)
        before, start = cpu(), time.perf_counter()
        await submit(int(sys.argv[2]))
        print(time.perf_counter() - start, cpu() - before)

    asyncio.run(main())


def port() -> int:
    """Where the server listens."""
    return int(sys.argv[1])
