"""Hooks: when they are called, in which order, and what becomes of what they raise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from geartrain import Client, Job, JobException, JobFailed, Worker, current_job
from tests.server.running import RunningServer


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


@pytest.fixture
def worker(server: RunningServer) -> Iterator[Worker]:
    with Worker(f"127.0.0.1:{server.port}") as worker:
        yield worker


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(f"127.0.0.1:{server.port}", timeout=20) as client:
        yield client


def outcome(client: Client, worker: Worker, function: str) -> bytes | BaseException | None:
    """Have the worker do one job; returns its result, or what it ended with."""
    future = client.submit(function)
    assert worker.work_one(20)
    error = future.exception(20)
    return error if error is not None else future.result(20)


def test_hooks_are_called_before_and_after_all_jobs_and_each_of_them(client: Client, worker: Worker) -> None:
    called: list[str] = []
    worker.on_start(lambda: called.append("start"))
    worker.on_stop(lambda: called.append("stop"))

    @worker.before_job
    def before(job: Job) -> None:
        assert current_job() is job
        called.append(f"before {job.function}")

    @worker.after_job
    def after(job: Job) -> None:
        assert current_job() is job
        called.append(f"after {job.function}")

    worker.after_job(lambda job: called.append("first after"))
    worker.on_error(lambda job, error: called.append(f"error {error}"))
    worker.register("good", lambda job: called.append("good"))

    @worker.function("bad")
    def bad(job: Job) -> None:
        raise JobFailed("for a reason")

    assert outcome(client, worker, "good") == b""
    assert isinstance(outcome(client, worker, "bad"), JobFailed)
    assert current_job() is None
    worker.close()
    assert called == [
        *("start", "before good", "good", "first after", "after good"),
        *("before bad", "error for a reason", "first after", "after bad", "stop"),
    ]


def test_a_coroutine_hook_is_called_on_the_coroutines_event_loop(client: Client, worker: Worker) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    @worker.on_start
    async def start() -> None:
        loops.append(asyncio.get_running_loop())

    @worker.on_stop
    async def stop() -> None:
        loops.append(asyncio.get_running_loop())

    @worker.function("loop")
    async def loop(job: Job) -> None:
        loops.append(asyncio.get_running_loop())

    outcome(client, worker, "loop")
    worker.close()
    assert len(loops) == 3
    assert len(set(loops)) == 1


def test_a_job_ends_with_what_a_before_hook_raises(client: Client, worker: Worker) -> None:
    @worker.before_job
    def refuse(job: Job) -> None:
        raise PermissionError("not today")

    worker.register("echo", lambda job: job.workload)
    error = outcome(client, worker, "echo")
    assert isinstance(error, JobException)
    assert str(error) == "not today"


def test_a_hook_that_fails_after_a_job_is_logged_and_the_others_are_called(
    client: Client, worker: Worker
) -> None:
    called: list[str] = []

    def fail(*_: object) -> None:
        raise OSError("no log server")

    worker.after_job(lambda job: called.append("after"))
    worker.after_job(fail)
    worker.on_error(fail)
    worker.on_error(lambda job, error: called.append(str(error)))

    @worker.function("bad")
    def bad(job: Job) -> None:
        raise ValueError("wrong")

    with capture_logs() as logs:
        error = outcome(client, worker, "bad")
    assert str(error) == "wrong"
    assert called == ["wrong", "after"]
    events = [line["event"] for line in logs if "hook failed" in line["event"]]
    assert events == ["an on_error hook failed", "an after_job hook failed"]


def test_what_cannot_be_sent_is_an_error_for_the_hooks(client: Client, worker: Worker) -> None:
    errors: list[BaseException] = []
    worker.on_error(lambda job, error: errors.append(error))
    worker.register("number", lambda job: 5)
    assert "returned int" in str(outcome(client, worker, "number"))
    assert "returned int" in str(errors[0])


def test_a_start_hook_that_fails_ends_the_worker_before_it_has_announced_anything(
    server: RunningServer, worker: Worker
) -> None:
    @worker.on_start
    def fail() -> None:
        raise OSError("no database")

    worker.register("echo", lambda job: job.workload)
    with pytest.raises(OSError, match="no database"):
        worker.run()
    assert server.ask(lambda server: len(server.broker.functions)) == 0
