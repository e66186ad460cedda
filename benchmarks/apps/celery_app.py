"""Celery with Redis as broker and result backend: `celery -A benchmarks.apps.celery_app worker -c 1`."""

from __future__ import annotations

import os

from celery import Celery

url = f"redis://127.0.0.1:{os.environ['BENCH_PORT']}/0"
app = Celery("bench", broker=url, backend=url)


@app.task
def noop() -> None:
    pass


if __name__ == "__main__":
    from .clock import timed

    # Run as a program this module is __main__; the worker knows the task under its importable name.
    task = Celery("bench", broker=url, backend=url).signature("benchmarks.apps.celery_app.noop")

    def submit(count: int) -> None:
        for result in [task.delay() for _ in range(count)]:
            result.get()

    timed(submit)
