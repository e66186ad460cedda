"""The worker of the soak: how a job ends follows from its workload, so that a client can check it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from geartrain import Job, JobFailed, Worker

worker = Worker("127.0.0.1")
_executed = os.open(Path("executed"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@worker.function("reverse")
def reverse(job: Job) -> bytes:
    return job.workload[::-1]


@worker.function("nap")
def nap(job: Job) -> bytes:
    time.sleep(len(job.workload) % 7 / 100)
    return job.workload[::-1]


@worker.function("nap_async")
async def nap_async(job: Job) -> bytes:
    await asyncio.sleep(len(job.workload) % 7 / 20)
    return job.workload[::-1]


@worker.function("tell")
async def tell(job: Job) -> bytes:
    for number in range(5):
        job.status(number, 5)
        job.data(job.workload)
        await job.drain()
    return job.workload[::-1]


@worker.function("fail")
def fail(job: Job) -> None:
    raise JobFailed


@worker.function("raise")
async def raises(job: Job) -> None:
    raise ValueError(job.workload[::-1].decode())


@worker.function("spin", time_limit=0.3)
def spin(job: Job) -> None:
    while True:
        pass


@worker.function("record")
def record(job: Job) -> None:
    os.write(_executed, job.workload + b"\n")
