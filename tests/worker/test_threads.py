"""Plain functions beside coroutines: each has a thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from geartrain import AsyncClient, Job, JobException, JobLostError, Worker, current_job
from geartrain.worker.aio.threads import SPARE
from tests.server.running import RunningServer

from .test_coroutines import TIMEOUT, working


def test_a_plain_function_blocks_no_coroutine() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        gate = threading.Event()

        @worker.function("wait")
        def wait(job: Job) -> str:
            job.status(1, 2)
            job.data(b"from a thread")
            assert gate.wait(TIMEOUT)
            assert current_job() is job
            return threading.current_thread().name

        @worker.function("open")
        async def open_gate(job: Job) -> None:
            assert current_job() is job
            gate.set()

        async with working(worker), AsyncClient(address) as client:
            waiting = await client.submit("wait")
            await client.run("open", timeout=TIMEOUT)
            result = await waiting.result(TIMEOUT)
            assert threading.current_thread().name.encode() not in result

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_as_many_plain_functions_run_at_a_time_as_jobs_are_taken() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        together = threading.Barrier(60)

        @worker.function("meet")
        def meet(job: Job) -> bytes:
            together.wait(TIMEOUT)
            assert current_job() is job
            return b"met"

        async with working(worker, 60), AsyncClient(address) as client:
            runs = [client.run("meet", timeout=TIMEOUT) for _ in range(60)]
            assert await asyncio.gather(*runs) == [b"met"] * 60

    with RunningServer() as server:
        asyncio.run(main(server.address))


def test_a_stop_iteration_of_a_plain_function_ends_its_job() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        worker.register("first", lambda job: next(iter(())))
        async with working(worker), AsyncClient(address) as client:
            with pytest.raises(JobException, match="StopIteration"):
                await client.run("first", timeout=TIMEOUT)

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


@pytest.mark.parametrize("closed", [False, True])
def test_a_handler_learns_that_its_job_is_lost_also_when_the_event_loop_has_ended(closed: bool) -> None:
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    lost: list[BaseException] = []

    def outlive(job: Job) -> None:
        began.set()
        assert go_on.wait(TIMEOUT)
        try:
            job.status(1, 2)
        except BaseException as error:
            lost.append(error)
            raise
        finally:
            ended.set()

    async def main(address: str) -> None:
        worker = Worker(address)
        worker.register("outlive", outlive)
        task = asyncio.create_task(worker.run_async())
        async with AsyncClient(address) as client:
            await client.background("outlive")
            assert await asyncio.to_thread(began.wait, TIMEOUT)
        task.cancel()
        await asyncio.wait([task])

    loop = asyncio.new_event_loop()
    with RunningServer() as server:
        loop.run_until_complete(main(f"127.0.0.1:{server.port}"))
    try:
        if closed:
            loop.close()
        go_on.set()
        assert ended.wait(TIMEOUT)
    finally:
        loop.close()
    assert [type(error) for error in lost] == [JobLostError]


def test_a_worker_that_is_cancelled_does_not_say_that_it_takes_fewer_jobs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    go_on, running = threading.Event(), threading.Barrier(SPARE + 2)

    def outlive(job: Job) -> None:
        running.wait(TIMEOUT)
        assert go_on.wait(TIMEOUT)

    async def main(address: str) -> None:
        worker = Worker(address)
        worker.register("outlive", outlive)
        task = asyncio.create_task(worker.run_async())
        async with AsyncClient(address) as client:
            for _ in range(SPARE + 1):
                await client.background("outlive")
            await asyncio.to_thread(running.wait, TIMEOUT)
        task.cancel()
        await asyncio.wait([task])
        go_on.set()

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))
    assert "fewer jobs" not in capfd.readouterr().err


def test_no_job_is_taken_that_would_wait_for_a_thread() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        gate = threading.Event()

        @worker.function("stuck", time_limit=0.01)
        def stuck(job: Job) -> None:
            gate.wait(TIMEOUT)

        @worker.function("plain")
        def plain(job: Job) -> bytes:
            return b"done"

        async with working(worker, 1), AsyncClient(address) as client:
            try:
                for _ in range(SPARE + 1):
                    with pytest.raises(JobException, match="time limit"):
                        await client.run("stuck", timeout=TIMEOUT)
                waiting = await client.submit("plain")
                await asyncio.sleep(0.2)
                assert not (await client.status(waiting.handle)).running
            finally:
                gate.set()
            assert await waiting.result(TIMEOUT) == b"done"

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))
