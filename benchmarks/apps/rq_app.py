"""RQ: `rq worker --url …`, which forks for each job, as is its default."""

from __future__ import annotations

import os
import time


def noop() -> int:
    return 1


if __name__ == "__main__":
    from redis import Redis
    from rq import Queue

    from .clock import timed

    queue = Queue(connection=Redis(port=int(os.environ["BENCH_PORT"])))

    def submit(count: int) -> None:
        for job in [queue.enqueue("benchmarks.apps.rq_app.noop") for _ in range(count)]:
            while job.return_value(refresh=True) is None:
                time.sleep(0.001)

    timed(submit)
