"""Handlers, hooks and codecs that raise what is no Exception: the job fails, and the worker goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import structlog

from geartrain import AsyncClient, Client, Job, JobException, Worker
from geartrain.codecs import JSON
from geartrain.testing import AsyncEagerClient, EagerClient
from tests.server.running import RunningServer

from .running import working


class Own(BaseException):
    """An exception of a program's own."""


class Mute(BaseException):
    """An exception that can't be told."""

    def __str__(self) -> str:
        raise Own("no words")


ERRORS = [
    Own("sentence"),
    Mute(),
    GeneratorExit("sentence"),
    asyncio.CancelledError("sentence"),
    pytest.fail.Exception("sentence"),
    SystemExit("sentence"),
    StopIteration("sentence"),
    StopAsyncIteration("sentence"),
    BaseExceptionGroup("sentence", [Own(), ValueError()]),
]
NAMES = ["plain", "coroutine", "generating", "typed", "typed_coroutine", "codec", "argument_codec"]


class Raising(JSON):
    """A codec that raises where it is told to."""

    def __init__(self, error: BaseException, encodes: bool) -> None:
        self.error = error
        self.encodes = encodes

    def encode(self, value: object) -> bytes:
        raise self.error

    def decoder(self, type: Any) -> Callable[[bytes], Any]:
        return lambda data: None

    def split(self, workload: bytes) -> Any:
        if self.encodes:
            return JSON().split(b"[]")
        raise self.error


def worker_that_raises(error: BaseException, address: str = "127.0.0.1") -> Worker:
    worker = Worker(address)

    @worker.function
    def plain(job: Job) -> None:
        raise error

    @worker.function
    async def coroutine(job: Job) -> None:
        await asyncio.sleep(0)
        raise error

    @worker.function
    async def generating(job: Job) -> bytes:
        async def generate() -> AsyncIterator[bytes]:
            yield b"part"
            await asyncio.sleep(0)
            raise error

        return b"".join([part async for part in generate()])

    @worker.function
    def typed(number: int = 0) -> int:
        raise error

    @worker.function
    async def typed_coroutine(number: int = 0) -> int:
        raise error

    @worker.function(codec=Raising(error, encodes=True))
    def codec() -> int:
        return 1

    @worker.function(codec=Raising(error, encodes=False))
    def argument_codec() -> int:
        return 1

    worker.register("fine", lambda job: b"fine")
    return worker


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """A log as programs have it, whose tracebacks show no variables: those take a second each."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure([renderer], logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    yield
    structlog.reset_defaults()


def workload(function: str) -> bytes:
    return b"[]" if function.startswith("typed") else b""


@pytest.fixture(params=ERRORS, ids=lambda error: type(error).__name__)
def error(request: pytest.FixtureRequest) -> BaseException:
    found: BaseException = request.param
    return found


def test_the_job_fails_and_a_worker_goes_on(error: BaseException) -> None:
    with RunningServer() as server:
        address = f"127.0.0.1:{server.port}"
        with working(worker_that_raises(error, address)), Client(address, timeout=10) as client:
            for name in NAMES:
                with pytest.raises(JobException):
                    client.run(name, workload(name))
                assert client.run("fine") == b"fine"


def test_the_job_fails_and_a_worker_of_coroutines_goes_on(error: BaseException) -> None:
    async def main(address: str) -> None:
        worker = worker_that_raises(error, address)
        task = asyncio.create_task(worker.run_async())
        async with AsyncClient(address, timeout=10) as client:
            for name in NAMES:
                with pytest.raises(JobException):
                    await client.run(name, workload(name))
                assert await client.run("fine") == b"fine"
        worker.stop()
        await task

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_the_job_fails_and_an_eager_client_goes_on(error: BaseException) -> None:
    with EagerClient(worker_that_raises(error)) as client:
        for name in NAMES:
            with pytest.raises(JobException):
                client.run(name, workload(name))
            assert client.run("fine") == b"fine"

    async def main() -> None:
        async with AsyncEagerClient(worker_that_raises(error), timeout=10) as client:
            for name in NAMES:
                with pytest.raises(JobException):
                    await client.run(name, workload(name))
                assert await client.run("fine") == b"fine"

    asyncio.run(main())


def test_a_hook_before_a_job_fails_it_and_the_other_hooks_are_logged(error: BaseException) -> None:
    def hook(*_: object) -> None:
        raise error

    with RunningServer() as server:
        address = f"127.0.0.1:{server.port}"
        for add, expected in _kinds():
            worker = Worker(address)
            worker.register("fine", lambda job: b"fine")
            worker.register("bad", lambda job: 1 / 0)
            add(worker)(hook)
            with working(worker), Client(address, timeout=10) as client:
                for _ in range(2):
                    if expected is None:
                        with pytest.raises(JobException):
                            client.run("fine")
                    else:
                        assert client.run("fine") == expected
                        with pytest.raises(JobException, match="division by zero"):
                            client.run("bad")


def _kinds() -> list[tuple[Callable[[Worker], Callable[..., object]], bytes | None]]:
    return [
        (lambda worker: worker.before_job, None),
        (lambda worker: worker.after_job, b"fine"),
        (lambda worker: worker.on_error, b"fine"),
        (lambda worker: worker.on_stop, b"fine"),
    ]


def test_a_cancelled_worker_of_coroutines_still_ends() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        begun = asyncio.Event()

        @worker.function
        async def waits(job: Job) -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(worker.run_async())
        async with AsyncClient(address) as client:
            await client.background("waits")
            await asyncio.wait_for(begun.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))
