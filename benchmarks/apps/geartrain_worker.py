"""A worker of ours: one process, defaults."""

from __future__ import annotations

from geartrain import Job, Worker

from .clock import port

worker = Worker(f"127.0.0.1:{port()}")


@worker.function("noop")
def noop(job: Job) -> bytes:
    return b""


worker.run()
