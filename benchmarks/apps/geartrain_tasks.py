"""A blocking task set of ours, of the function in BENCH_FUNCTION."""

from __future__ import annotations

import os

from geartrain import Client, Task, TaskSet

from .clock import port, timed

function = os.environ.get("BENCH_FUNCTION", "noop")

with Client(f"127.0.0.1:{port()}") as client:

    def submit(count: int) -> None:
        tasks = TaskSet(client)
        for _ in range(count):
            tasks.add(Task(function, b""))
        if not tasks.wait():
            raise RuntimeError("a task failed")

    timed(submit)
