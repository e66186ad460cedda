"""A blocking client that looks for its answer before it goes to sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from geartrain import Client
from geartrain.client import turns
from geartrain.spin import MAY_SPIN, SPIN_SECONDS, spin_poll
from tests.harness.form import uncompiled
from tests.harness.rawwire import Packet
from tests.server.running import RunningServer

from .workers import worker


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


@pytest.mark.skipif(not MAY_SPIN, reason="with one processor nobody looks")
def test_what_is_there_is_found_at_once_and_what_is_not_only_looked_for() -> None:
    timeouts: list[int] = []

    def poll(timeout: int) -> list[tuple[int, int]]:
        timeouts.append(timeout)
        return found

    found = [(7, 1)]
    assert spin_poll(poll) == found
    assert timeouts == [0]
    found = []
    begun = time.monotonic()
    assert spin_poll(poll) == []
    assert time.monotonic() - begun >= SPIN_SECONDS
    assert not any(timeouts)


@pytest.mark.skipif(not MAY_SPIN, reason="with one processor nobody looks")
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


def test_a_wait_of_no_time_says_nothing_about_the_next(server: RunningServer) -> None:
    with worker(server.host, server.port) as working, Client([server.address]) as client:
        future = client.submit("hold")
        assert working.held.wait(10)
        for is_near in (False, True):
            client._turns._is_near = is_near
            assert not future.done()
            assert client._turns._is_near is is_near
        working.release.set()
        future.result(10)


@uncompiled
@pytest.mark.skipif(not MAY_SPIN, reason="with one processor nobody looks")
def test_who_looked_in_vain_sleeps_from_then_on(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []

    def counting(poll: Any) -> Any:
        found.append(spin_poll(poll))
        return found[-1]

    monkeypatch.setattr(turns, "spin_poll", counting)
    with server.connect() as slow, Client([server.address]) as client:
        slow.can_do("f")

        def work() -> None:
            slow.send(Packet.PRE_SLEEP)
            slow.expect(Packet.NOOP)
            handle = slow.grab().handle
            for _ in range(10):
                time.sleep(0.01)
                slow.send(Packet.WORK_DATA, handle, b"d")
            slow.complete(handle, b"r")

        working = threading.Thread(target=work)
        working.start()
        client.echo()
        client._turns._is_near = True
        assert client.run("f") == b"r"
        working.join(10)
    # The acknowledgement may be found, and the first of the data is not.
    assert 1 <= len(found) <= 2
    assert not found[-1]
