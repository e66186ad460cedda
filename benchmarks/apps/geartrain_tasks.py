"""A blocking task set of ours."""

from __future__ import annotations

from geartrain import Client, Task, TaskSet

from .clock import port, timed

with Client(f"127.0.0.1:{port()}") as client:

    def submit(count: int) -> None:
        tasks = TaskSet(client)
        for _ in range(count):
            tasks.add(Task("noop", b""))
        if not tasks.wait():
            raise RuntimeError("a task failed")

    timed(submit)
