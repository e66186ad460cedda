"""Ctrl-C in a thread that uses a blocking client, wherever it comes."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

import geartrain
from geartrain import Client, Task, TaskSet, WaitTimeoutError
from tests.harness.form import IS_COMPILED
from tests.harness.processes import wait_until
from tests.server.running import RunningServer

from .workers import Worker, worker

CODE = str(Path(geartrain.__file__).parent)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


@pytest.fixture
def working(server: RunningServer) -> Iterator[Worker]:
    with worker(server.host, server.port) as running:
        yield running


def interrupted(after: int, work: Callable[[], object]) -> bool:
    """Do some work, raising KeyboardInterrupt at one of the places where Python looks for signals.

    These are the beginnings of functions in Python and the ends of those in C that are called from there;
    `after` is how many of them in Geartrain's code are passed. Says whether the work came so far.
    """
    left = after

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(CODE):
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(before)
    return False


def close_in_time(client: Client) -> None:
    closing = threading.Thread(target=client.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_the_client_can_be_closed_wherever_ctrl_c_came(server: RunningServer, working: Worker) -> None:
    def everything(client: Client) -> None:
        client.run("echo", b"x")
        tasks = TaskSet(client)
        tasks.add(Task("echo", on_complete=lambda task, result: client.submit("reverse", b"ab").result()))
        tasks.wait()

    after = 0
    client = Client(server.address)
    while interrupted(after, partial(everything, client)):
        # It goes on as if nothing had happened, and can be closed.
        assert client.run("reverse", b"ab", timeout=10) == b"ba", after
        close_in_time(client)
        client = Client(server.address)
        after += 1
    assert after > (50 if IS_COMPILED else 300)
    close_in_time(client)


def test_other_threads_go_on_wherever_ctrl_c_came(server: RunningServer, working: Worker) -> None:
    client = Client(server.address)
    rounds = [0, 0]
    errors: list[BaseException] = []
    stop = threading.Event()

    def go_on(number: int) -> None:
        try:
            while not stop.is_set():
                if number:
                    tasks = TaskSet(client)
                    ended: list[int] = []
                    for turn in range(3):
                        task = tasks.add(Task("echo"))
                        task.on_complete(lambda task, result, turn=turn, ended=ended: ended.append(turn))
                    assert tasks.wait()
                    assert sorted(ended) == [0, 1, 2]
                else:
                    assert client.run("reverse", b"ab") == b"ba"
                rounds[number] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=go_on, args=(number,), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    for after in range(700):
        interrupted(after, lambda: [client.run("echo", b"x") for _ in range(2)])
        before = list(rounds)

        def have_gone_on(before: list[int] = before) -> bool:
            return bool(errors) or (rounds[0] > before[0] and rounds[1] > before[1])

        wait_until(have_gone_on, f"the others go on, after {after}", 5, interval=0.0005)
        assert not errors, after
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    close_in_time(client)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it may come in a finaliser
def test_hardly_a_signal_is_slept_through(server: RunningServer) -> None:
    class AlarmError(BaseException):
        pass

    def ring(number: int, frame: FrameType | None) -> None:
        raise AlarmError

    chance = random.Random(1)
    before = signal.signal(signal.SIGALRM, ring)
    late = 0
    try:
        with Client(server.address) as client:
            assert client.echo(b"x") == b"x"
            for _ in range(300):
                began = time.monotonic()
                with contextlib.suppress(AlarmError, WaitTimeoutError):
                    # It comes while the client submits, or while it already sleeps.
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(2e-6, 200e-6))
                    client.run("nobody", timeout=0.5)
                late += time.monotonic() - began > 0.4
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # Between Python's last look for signals and the system's sleep there is always a moment.
    assert late < 15
