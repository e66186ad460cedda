"""A blocking client that looks for its answer before it goes to sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from geartrain import Client
from geartrain.lookout import MAY_LOOK, MOMENT, look
from tests.server.running import RunningServer

from .workers import worker


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


def test_what_is_there_is_found_at_once_and_what_is_not_only_looked_for() -> None:
    timeouts: list[int] = []

    def poll(timeout: int) -> list[tuple[int, int]]:
        timeouts.append(timeout)
        return found

    found = [(7, 1)]
    assert look(poll) == found
    assert timeouts == [0]
    found = []
    begun = time.monotonic()
    assert look(poll) == []
    assert time.monotonic() - begun >= MOMENT
    assert not any(timeouts)


@pytest.mark.skipif(not MAY_LOOK, reason="with one processor nobody looks")
def test_after_quick_answers_a_slow_one_is_slept_for(server: RunningServer) -> None:
    with worker(server.host, server.port) as working, Client([server.address]) as client:
        client.run("echo")
        # As if that had been quick, which it need not be beside a server in this very process.
        client._turns._is_near = True
        threading.Timer(0.5, working.release.set).start()
        before = time.thread_time()
        assert client.run("hold", b"x") == b"x"
        assert time.thread_time() - before < 0.1
        assert not client._turns._is_near
