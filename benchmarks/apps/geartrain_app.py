"""The worker command of ours: `geartrain work benchmarks.apps.geartrain_app --processes 2`."""

from __future__ import annotations

import os

from geartrain import Job, Worker

worker = Worker(f"127.0.0.1:{os.environ['BENCH_PORT']}")


@worker.function("noop")
def noop(job: Job) -> bytes:
    return b""


@worker.function("noop_async")
async def noop_async(job: Job) -> bytes:
    return b""


@worker.function("noop_limited", time_limit=60)
def noop_limited(job: Job) -> bytes:
    return b""
