"""A server and two threads of a worker, for each file."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from geartrain import Client, Worker
from tests.server.running import RunningServer

from . import tasks


@pytest.fixture(scope="module")
def running() -> Iterator[RunningServer]:
    with RunningServer() as running:
        yield running


@pytest.fixture(scope="module")
def server(running: RunningServer) -> Iterator[str]:
    address = f"127.0.0.1:{running.port}"
    worker = Worker(address)
    worker._functions = tasks.worker._functions
    threads = [threading.Thread(target=worker.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield address
    finally:
        tasks.gate.set()
        worker.stop()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    tasks.ran.clear()
    tasks.gate.clear()
    with Client(server, timeout=20) as client:
        yield client
        tasks.gate.set()
