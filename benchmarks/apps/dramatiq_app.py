"""Dramatiq with Redis as broker and result backend: `dramatiq benchmarks.apps.dramatiq_app --processes 1`."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

url = f"redis://127.0.0.1:{os.environ['BENCH_PORT']}/0"
broker = RedisBroker(url=url)
broker.add_middleware(Results(backend=RedisBackend(url=url)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True, actor_name="noop")
def noop() -> int:
    return 1


if __name__ == "__main__":
    from .clock import timed

    def submit(count: int) -> None:
        for message in [noop.send() for _ in range(count)]:
            message.get_result(block=True, timeout=60_000)

    timed(submit)
