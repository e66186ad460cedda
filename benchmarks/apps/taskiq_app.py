"""Taskiq with Redis as broker and result backend: `taskiq worker benchmarks.apps.taskiq_app:broker -w 1`."""

from __future__ import annotations

import os

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

url = f"redis://127.0.0.1:{os.environ['BENCH_PORT']}/0"
broker = ListQueueBroker(url).with_result_backend(RedisAsyncResultBackend(url))


@broker.task(task_name="noop")
async def noop() -> int:
    return 1


if __name__ == "__main__":
    from .clock import timed_async

    started = False

    async def submit(count: int) -> None:
        global started
        if not started:
            await broker.startup()
            started = True
        for task in [await noop.kiq() for _ in range(count)]:
            await task.wait_result(check_interval=0.001)

    timed_async(submit)
