"""The functions that the tests of this folder call."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from geartrain import Job, Worker
from geartrain.codecs import Bytes, MessagePack


@dataclass
class Rectangle:
    width: float
    height: float


worker = Worker()
gate = threading.Event()
"""Jobs of `wait` wait for it."""
seen = threading.Semaphore(0)
"""Released by those who have seen a status of `climb`."""
ran: list[object] = []


@worker.function
def add(a: int, b: int = 10) -> int:
    ran.append((a, b))
    return a + b


@worker.function("shapes.area", codec=MessagePack())
def area(shape: Rectangle) -> float:
    return shape.width * shape.height


@worker.function
async def tomorrow(day: datetime) -> datetime:
    return day + timedelta(days=1)


@worker.function
def square(n: int) -> int:
    if n < 0:
        raise ValueError(f"{n} is negative")
    ran.append(n)
    return n * n


@worker.function
def steps(job: Job, count: int) -> int:
    for step in range(count):
        job.status(step + 1, count)
        job.data(str(step))
    return count


@worker.function
def climb(job: Job, count: int) -> int:
    """Goes on with each status when the caller has seen the one before."""
    for step in range(count):
        job.status(step + 1, count)
        assert seen.acquire(timeout=30)
    return count


@worker.function
def wait(n: int) -> int:
    assert gate.wait(30)
    return n


@worker.function
def hold_first(n: int) -> int:
    return n if n else wait(n)


@worker.function
def pause(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@worker.function
def wrong() -> int:
    return "no number"  # type: ignore[return-value]


@worker.function(codec=Bytes())
def reverse(data: bytes) -> bytes:
    return data[::-1]


@worker.function
def total(numbers: list[int]) -> int:
    return sum(numbers)


@worker.function
def numbers(count: int) -> list[int]:
    return list(range(count))


@worker.function
def opposite(n: int) -> int:
    return -n


@worker.function("upper")
def upper(job):  # type: ignore[no-untyped-def]
    return job.workload.upper()
