"""arq: `arq benchmarks.apps.arq_app.WorkerSettings`."""

from __future__ import annotations

import os
from typing import Any

from arq.connections import RedisSettings, create_pool

settings = RedisSettings(port=int(os.environ["BENCH_PORT"]))


async def noop(context: dict[str, Any]) -> int:
    return 1


class WorkerSettings:
    functions = (noop,)
    redis_settings = settings


if __name__ == "__main__":
    from .clock import timed_async

    pool: Any = None

    async def submit(count: int) -> None:
        global pool
        pool = pool or await create_pool(settings)
        jobs = [await pool.enqueue_job("noop") for _ in range(count)]
        for job in jobs:
            await job.result(poll_delay=0.001)

    timed_async(submit)
