"""What only the blocking client has: several threads at once, forks, and no thread of its own."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from geartrain import Client, ClosedError, ConnectionLostError, Task, TaskSet, WaitTimeoutError
from geartrain.client.steps import Steps, Wait
from tests.harness.form import uncompiled
from tests.harness.processes import wait_until
from tests.server.running import RunningServer

from .workers import Worker, worker


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


@pytest.fixture
def working(server: RunningServer) -> Iterator[Worker]:
    with worker(server.host, server.port) as running:
        yield running


def in_threads(count: int, work: object) -> None:
    """Run `work(number)` in so many threads at once; their errors come out here."""
    assert callable(work)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("observes", [False, True])
def test_steps_that_wait_for_an_end_go_on_when_it_has_come_and_not_before(
    server: RunningServer, working: Worker, observes: bool
) -> None:
    with Client(server.address) as client:
        task = Task("hold")
        if observes:
            task._observe()

        def steps() -> Steps[int]:
            client._engine.submit(task, time.monotonic())
            looks = 0
            while not task.done:
                looks += 1
                yield Wait(task)
            return looks

        threading.Timer(0.1, working.release.set).start()
        looks = client.run_steps(steps())
        # A connection is opened, a job sent, acknowledged and done.
        assert looks >= 3 if observes else looks == 1


def test_threads_share_one_client_and_its_one_connection(server: RunningServer, working: Worker) -> None:
    with Client(server.address) as client:

        def work(number: int) -> None:
            for turn in range(50):
                text = f"{number} {turn}"
                assert client.run("reverse", text, timeout=30) == text[::-1].encode()

        in_threads(16, work)
        # The worker's, ours.
        assert server.ask(lambda server: len(server.broker.peers)) == 2
        assert threading.active_count() < 10


def test_threads_may_do_different_things_at_once(server: RunningServer, working: Worker) -> None:
    with Client(server.address) as client:

        def work(number: int) -> None:
            for turn in range(10):
                match (number + turn) % 5:
                    case 0:
                        assert client.run("reverse", b"ab", timeout=30) == b"ba"
                    case 1:
                        assert client.background("echo", timeout=30)
                    case 2:
                        tasks = TaskSet(client)
                        for _ in range(20):
                            tasks.add(Task("echo", b"x"))
                        assert tasks.wait(timeout=30)
                        assert {task.result for task in tasks.tasks} == {b"x"}
                    case 3:
                        assert client.echo(b"x", timeout=30) == b"x"
                    case 4:
                        future = client.submit("chatty", b"x")
                        assert list(future.data(timeout=30)) == [b"a", b"b"]

        in_threads(8, work)


def test_a_callback_runs_in_the_thread_that_waits_for_its_set(server: RunningServer, working: Worker) -> None:
    with Client(server.address) as client:

        def work(number: int) -> None:
            threads: set[int] = set()
            tasks = TaskSet(client)
            for _ in range(100):
                tasks.add(Task("echo", on_complete=lambda task, result: threads.add(threading.get_ident())))
            assert tasks.wait(timeout=30)
            assert threads == {threading.get_ident()}

        in_threads(4, work)


def test_a_thread_that_leaves_hands_the_reading_on(server: RunningServer, working: Worker) -> None:
    with Client(server.address) as client:
        leading, following = threading.Event(), threading.Event()

        def work(number: int) -> None:
            if number == 0:
                future = client.submit("hold", b"x")
                future.created(timeout=10)
                leading.set()
                with pytest.raises(WaitTimeoutError):
                    future.result(timeout=0.5)
                following.wait(10)
                working.release.set()
            else:
                leading.wait(10)
                future = client.submit("echo", b"y")
                following.set()
                assert future.result(timeout=30) == b"y"

        in_threads(2, work)


def test_a_short_wait_ends_in_time_beside_a_long_one(server: RunningServer, working: Worker) -> None:
    with Client(server.address) as client:
        started = threading.Event()

        def work(number: int) -> None:
            if number == 0:
                future = client.submit("hold", b"x")
                future.created(timeout=10)
                started.set()
                assert future.result(timeout=60) == b"x"
            else:
                started.wait(10)
                with pytest.raises(WaitTimeoutError):
                    client.run("nobody", timeout=0.2)
                future = client.submit("nobody")
                with pytest.raises(WaitTimeoutError):
                    future.result(timeout=0.2)
                working.release.set()

        in_threads(2, work)


def test_closing_wakes_the_threads_that_wait(server: RunningServer) -> None:
    client = Client(server.address)
    waiting = [client.submit("nobody") for _ in range(4)]

    def work(number: int) -> None:
        if number == 4:
            time.sleep(0.2)
            client.close()
        else:
            with pytest.raises(ClosedError):
                waiting[number].result(timeout=30)

    in_threads(5, work)


def test_a_large_workload_of_one_thread_does_not_stop_another(server: RunningServer, working: Worker) -> None:
    with Client(server.address) as client:

        def work(number: int) -> None:
            if number == 0:
                workload = os.urandom(8 * 1024 * 1024)
                assert client.run("reverse", workload, timeout=60) == workload[::-1]
            else:
                for _ in range(20):
                    assert client.run("echo", b"x", timeout=60) == b"x"

        in_threads(3, work)


def test_a_signal_gets_through_while_a_call_waits(server: RunningServer) -> None:
    class InterruptError(Exception):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise InterruptError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Client(server.address) as client:
            client.echo()
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(InterruptError):
                client.run("nobody")
            # What was interrupted is forgotten, and the client goes on.
            assert client.echo(b"x") == b"x"
            assert all(job.done for job in client._engine.links[0].jobs.values() if isinstance(job, Task))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_child_process_has_connections_of_its_own(server: RunningServer, working: Worker) -> None:
    with Client(server.address) as client:
        future = client.submit("hold", b"x")
        future.created(timeout=10)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            # Nothing of the test may go on in the child.
            try:
                try:
                    future.result(timeout=10)
                    report = "a result"
                except ConnectionLostError:
                    report = client.background("echo", timeout=10)
                os.write(write, report.encode())
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        assert os.read(read, 100).startswith(b"H:")
        os.close(read)
        working.release.set()
        assert future.result(timeout=30) == b"x"
        assert client.run("reverse", b"ab") == b"ba"


def test_a_child_that_is_forked_while_its_thread_waits_behind_another_does_not_wait_for_ever(
    server: RunningServer, working: Worker
) -> None:
    parent = os.getpid()
    read, write = os.pipe()
    children = []

    def fork(*_: object) -> None:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
        else:
            children.append(child)
            working.release.set()

    before = signal.signal(signal.SIGALRM, fork)
    try:
        with Client(server.address) as client:
            leader = threading.Thread(target=lambda: client.run("hold", b"x"))
            leader.start()
            wait_until(lambda: client._turns.leading, "a thread reads for all")
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            try:
                report = client.run("hold", b"y")
            except ConnectionLostError:
                report = b"lost"
            finally:
                if os.getpid() != parent:
                    # Nothing of the test may go on in the child.
                    os.write(write, report)
                    os._exit(0)
            assert report == b"y"
            leader.join(10)
            assert [os.waitpid(child, 0)[1] for child in children] == [0]
            assert os.read(read, 100) == b"lost"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(read)
        os.close(write)


def test_a_future_that_nobody_waits_for_still_comes_to_its_end(
    server: RunningServer, working: Worker
) -> None:
    with Client(server.address) as client:
        future = client.submit("chatty", b"x")
        deadline = time.monotonic() + 10
        while not future.done():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert future.result(timeout=0) == b"x"


def test_replies_that_nobody_reads_do_not_stop_submissions(server: RunningServer, working: Worker) -> None:
    with Client(server.address) as client:
        futures = [client.submit("echo", b"x" * 10_000) for _ in range(3000)]
        assert all(future.result(timeout=60) == b"x" * 10_000 for future in futures)


def test_a_client_that_was_closed_leaves_no_descriptor(server: RunningServer) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    before = None
    for _ in range(3):
        with Client([server.address, f"127.0.0.1:{server.port}"], route="unique") as client:
            client.echo()
            for number in range(10):
                client.background("nobody", unique=str(number))
        deadline = time.monotonic() + 10
        while server.ask(lambda server: len(server.broker.peers)):
            assert time.monotonic() < deadline
        before = before or descriptors()
    assert descriptors() == before


def test_names_are_looked_up() -> None:
    with RunningServer() as server, Client(f"localhost:{server.port}") as client:
        # It may have an IPv6 address too, where nobody listens.
        assert client.echo(b"x") == b"x"
        assert socket.gethostbyname("localhost") == "127.0.0.1"


def test_a_future_that_another_thread_cancels_ends_at_once(server: RunningServer) -> None:
    with Client(server.address) as client:
        future = client.submit("nobody")

        def wait() -> None:
            with pytest.raises(ClosedError):
                future.result(timeout=60)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: client._turns.leading, "it waits for the sockets")
        assert future.cancel()
        thread.join(5)  # the server would be asked for a sign of life after 15
        assert not thread.is_alive()


def test_whoever_only_looks_hands_the_reading_on(
    server: RunningServer, working: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(server.address) as client:
        future = client.submit("nobody")
        looks = threading.current_thread()

        class PollWhenAnotherFollows:
            def __init__(self, poll: select.poll) -> None:
                self.register, self.modify, self.unregister = poll.register, poll.modify, poll.unregister
                self._poll = poll

            def poll(self, milliseconds: int) -> list[tuple[int, int]]:
                if threading.current_thread() is looks:
                    wait_until(lambda: client._turns.followers, "another thread waits")
                return self._poll.poll(milliseconds)

        monkeypatch.setattr(client._turns, "poll", PollWhenAnotherFollows(client._turns.poll))
        results: list[bytes] = []
        other = threading.Thread(target=lambda: results.append(client.run("reverse", b"ab")))

        def start_when_led() -> None:
            wait_until(lambda: client._turns.leading, "somebody looks")
            other.start()

        starter = threading.Thread(target=start_when_led)
        starter.start()
        assert not future.done()
        starter.join(10)
        other.join(10)
        assert results == [b"ba"]


@pytest.mark.parametrize("text", ["\ud83d", "caf\udce9 \udc00"])
def test_what_no_packet_can_carry_is_refused_where_it_is_said(server: RunningServer, text: str) -> None:
    with Client(server.address) as client:
        with pytest.raises(ValueError, match="half of a surrogate pair"):
            client.submit(text)
        with pytest.raises(ValueError, match="half of a surrogate pair"):
            client.submit("f", unique=text)
        with pytest.raises(ValueError, match="the largest workload is"):
            client.submit("f", bytes(128 * 1024 * 1024))
        assert client.echo(b"x") == b"x"


@uncompiled
def test_a_thread_that_fails_as_it_begins_to_wait_keeps_nobody_from_reading(
    server: RunningServer, working: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(server.address) as client:
        results: list[bytes] = []
        leads = threading.Thread(target=lambda: results.append(client.run("hold", b"x")), daemon=True)
        leads.start()
        wait_until(lambda: client._turns.leading, "the first thread waits for the sockets")

        def fail(now: float) -> tuple[bool, bool]:
            raise OSError("no descriptor is left")

        with monkeypatch.context() as patches:
            patches.setattr(client._turns, "_flush", fail)
            with pytest.raises(OSError, match="no descriptor is left"):
                client.run("echo", b"y")

        follows = threading.Thread(target=lambda: results.append(client.run("hold", b"z")), daemon=True)
        follows.start()
        wait_until(lambda: client._turns.followers, "the last one waits too")
        working.release.set()
        leads.join(10)
        follows.join(10)
        assert not follows.is_alive()
        assert sorted(results) == [b"x", b"z"]


def test_a_client_that_is_closed_while_a_name_is_looked_up_connects_no_more(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, may_go_on = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def slow(*arguments: Any, **keywords: Any) -> Any:
        looks.set()
        assert may_go_on.wait(10)
        return real(*arguments, **keywords)

    client = Client(server.address)
    monkeypatch.setattr(socket, "getaddrinfo", slow)

    def run() -> None:
        with pytest.raises(ClosedError):
            client.run("echo")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert looks.wait(10)
    client.close()
    may_go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert client._turns.channels == {}
    assert client._turns.alarm.descriptor is None
    assert server.ask(lambda server: len(server.broker.peers)) == 0
