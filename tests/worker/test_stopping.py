"""How a worker stops: by signals, by its own count, by another thread."""

from __future__ import annotations

import random
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from geartrain import Job, Worker
from geartrain.worker.engine import keepalive
from geartrain.worker.time_limits import Deadman
from tests.harness.processes import Process, wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.server.running import RunningServer

from .running import ScriptedServer

PROGRAM = """
    import asyncio, os, sys, time
    from geartrain import Worker

    address, folder = sys.argv[1:]
    worker = Worker(address)

    def wait():
        while not os.path.exists(folder + "/go"):
            time.sleep(0.005)
            yield

    @worker.function("plain")
    def plain(job):
        open(folder + "/begun", "w").close()
        for _ in wait():
            pass
        return "done"

    @worker.function("coroutine")
    async def coroutine(job):
        open(folder + "/begun", "w").close()
        for _ in wait():
            await asyncio.sleep(0.005)
        return "done"

    print("ready", flush=True)
    print("did", worker.run(), flush=True)
"""


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[RawPeer]:
    with server.connect() as client:
        yield client


@pytest.fixture
def program(server: RunningServer, tmp_path: Path) -> Iterator[Process]:
    """A worker as a program of its own."""
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(PROGRAM))
    with Process(sys.executable, str(file), f"127.0.0.1:{server.port}", str(tmp_path)) as process:
        process.wait_for_output("ready")
        process.wait_for_output("connected")
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_stops_at_once(program: Process, number: signal.Signals) -> None:
    program.signal(number)
    assert program.wait() == 0
    assert "did 0" in program.output


@pytest.mark.parametrize("function", ["plain", "coroutine"])
def test_the_first_signal_lets_the_job_in_hand_finish(
    program: Process, client: RawPeer, tmp_path: Path, function: str
) -> None:
    first = client.submit(function)
    second = client.submit(function)
    wait_until((tmp_path / "begun").exists, "the job runs")
    program.signal(signal.SIGTERM)
    program.wait_for_output("stopping")
    (tmp_path / "go").touch()
    client.expect(Packet.WORK_COMPLETE, first, "done")
    assert program.wait() == 0
    assert "did 1" in program.output
    assert client.status(second).running == b"0"


@pytest.mark.parametrize("function", ["plain", "coroutine"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_stops_at_once_and_gives_the_job_back(
    program: Process, client: RawPeer, tmp_path: Path, function: str, second: signal.Signals
) -> None:
    handle = client.submit(function)
    wait_until((tmp_path / "begun").exists, "the job runs")
    program.signal(signal.SIGTERM)
    program.wait_for_output("stopping")
    program.signal(second)
    assert program.wait() == 128 + second
    assert "did" not in program.output
    wait_until(lambda: client.status(handle).running == b"0", "the job waits again")
    assert client.status(handle).known == b"1"


def test_a_signal_that_interrupts_a_log_line_stops_the_worker_too(
    server: RunningServer, client: RawPeer, tmp_path: Path
) -> None:
    program = """
        import signal, sys
        import structlog
        from geartrain import Worker

        class Log:
            def write(self, text):
                if "amid" in text:
                    signal.raise_signal(signal.SIGTERM)  # structlog holds the file's lock now
                return sys.stderr.write(text)

            def flush(self):
                sys.stderr.flush()

        structlog.configure(logger_factory=structlog.PrintLoggerFactory(Log()))
        worker = Worker(sys.argv[1])
        worker.register("log", lambda job: structlog.get_logger().info("amid"))
        print("did", worker.run(), flush=True)
    """
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(program))
    with Process(sys.executable, str(file), f"127.0.0.1:{server.port}") as process:
        handle = client.submit("log")
        client.expect(Packet.WORK_COMPLETE, handle, "")
        process.wait_for_output("stopping")
        assert process.wait() == 0
        assert "did 1" in process.output


def test_hardly_a_signal_is_slept_through(server: RunningServer, client: RawPeer) -> None:
    chance = random.Random(1)
    before = signal.getsignal(signal.SIGALRM)
    late = 0
    try:
        for _ in range(40):
            with Worker(f"127.0.0.1:{server.port}") as worker:
                signal.signal(signal.SIGALRM, partial(_stop, worker))

                @worker.function("ring")
                def ring(job: Job) -> None:
                    # It comes while the loop goes back to sleep, or while it already sleeps.
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(2e-6, 200e-6))

                client.submit("ring", type=Packet.SUBMIT_JOB_BG)
                began = time.monotonic()
                guard = threading.Timer(2, worker.stop)
                guard.start()
                worker.run()
                late += time.monotonic() - began > 1.5
                guard.cancel()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # Between Python's last look for signals and the system's sleep there is always a moment.
    assert late < 5


def _stop(worker: Worker, number: int, frame: FrameType | None) -> None:
    worker.stop()


def test_a_signal_that_the_process_ignores_stays_ignored(server: RunningServer) -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Worker(f"127.0.0.1:{server.port}") as worker, server.connect() as client:
            kept: list[object] = []

            @worker.function("look")
            def look(job: Job) -> None:
                kept.extend(signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM))

            before = signal.getsignal(signal.SIGTERM)
            client.submit("look")
            assert worker.run(max_jobs=1) == 1
            assert kept[0] is signal.SIG_IGN
            assert kept[1] is not before
            assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGINT, previous)


def test_stop_ends_all_threads_after_their_jobs(server: RunningServer, client: RawPeer) -> None:
    running, go_on = threading.Semaphore(0), threading.Event()
    worker = Worker(f"127.0.0.1:{server.port}")

    @worker.function("hold")
    def hold(job: Job) -> bytes:
        running.release()
        assert go_on.wait(10)
        return job.workload

    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(worker.run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(4):
        client.submit("hold", b"%d" % number)
    assert running.acquire(timeout=10)
    assert running.acquire(timeout=10)
    worker.stop()
    go_on.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert done == [1, 1]
    assert {client.expect(Packet.WORK_COMPLETE)[1] for _ in range(2)} == {b"0", b"1"}


def test_a_worker_that_was_stopped_stays_so(server: RunningServer) -> None:
    worker = Worker(f"127.0.0.1:{server.port}")
    worker.register("echo", lambda job: job.workload)
    worker.stop()
    assert worker.run() == 0
    assert not worker.work_one()
    worker.close()


def test_a_handler_may_stop_its_worker(server: RunningServer, client: RawPeer) -> None:
    worker = Worker(f"127.0.0.1:{server.port}")
    worker.register("stop", lambda job: worker.stop())
    handle = client.submit("stop")
    assert worker.run() == 1
    client.expect(Packet.WORK_COMPLETE, handle, "")


def test_the_last_result_arrives_though_something_came_that_nobody_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()
    result = bytes(60_000)

    def hold(job: Job) -> bytes:
        assert go_on.wait(10)
        return result

    # So little fits into the server's socket that the result waits in the worker's.
    with ScriptedServer(receive_buffer=4096) as server:
        monkeypatch.setattr(keepalive, "FAREWELL_TIMEOUT", 10)
        worker = Worker(server.address)
        worker.register("hold", hold)
        thread = threading.Thread(target=worker.run, args=(1,))
        thread.start()
        end = server.accept()
        end.greet()
        end.assign("hold")
        end.send(Packet.NOOP)
        go_on.set()
        # Closing a socket that something unread has come to throws away what it was still to send.
        thread.join(0.2)
        (packet,) = end.peer.recv_rest()
        assert (packet.type, packet.body) == (Packet.WORK_COMPLETE, b"H:test:1\0" + result)
        end.peer.close()
        thread.join(10)
        assert not thread.is_alive()


def test_nothing_is_left_of_a_worker_that_ended(server: RunningServer, client: RawPeer) -> None:
    worker = Worker(f"127.0.0.1:{server.port}")

    @worker.function("coroutine")
    async def coroutine(job: Job) -> str:
        return "done"

    threads = threading.active_count()
    client.submit("coroutine")
    assert worker.run(max_jobs=1) == 1
    client.expect(Packet.WORK_COMPLETE)
    wait_until(lambda: threading.active_count() <= threads, "its threads are gone")

    def connections() -> int:
        client.send_text("workers")
        return len(client.recv_lines())

    wait_until(lambda: connections() == 1, "its connections are gone")


def test_a_signal_may_come_amid_the_setting_of_a_time_limit() -> None:
    deadman = Deadman()
    armed: list[float] = []
    at = time.monotonic() + 1000

    def arm(when: float) -> None:
        if not armed:
            armed.append(when)
            deadman.set_for_good(at)  # as from a signal's handler, in this thread
        armed.append(when)

    deadman._arm = arm  # type: ignore[assignment]
    deadman.set(at + 500)
    assert armed[-1] == at
    deadman.set(at + 600)
    assert armed[-1] == at
