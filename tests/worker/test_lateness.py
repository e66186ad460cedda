"""Jobs whose time was over at the server, on a connection that has several in hand."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from geartrain import AsyncClient, Job, JobLostError, Worker
from geartrain.worker.aio import connection as link
from geartrain.worker.engine.engine import WorkerEngine
from tests.harness.rawwire import Packet
from tests.harness.servers import SERVERS
from tests.server.running import RunningServer

from .test_coroutines import TIMEOUT, working


@pytest.mark.parametrize("kind", ["geartrain", "gearmand-c"])
def test_the_late_end_of_one_job_costs_another_one_nothing(kind: str) -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        late = asyncio.Event()
        ran: list[str] = []

        @worker.function("slow", timeout=1)
        async def slow(job: Job) -> None:
            ran.append(job.handle)
            if len(ran) == 1:
                await asyncio.sleep(1.3)  # its time is over by then
                late.set()
            else:
                await asyncio.sleep(0.8)  # longer than the other job, and not too long

        @worker.function("other")
        async def other(job: Job) -> bytes:
            await late.wait()
            await asyncio.sleep(0.3)  # the server's error has come
            job.status(1, 2)
            return b"good"

        # Both places are taken, so the server does not give us the job anew before its first end.
        async with working(worker, 2), AsyncClient(address) as client:
            waiting = await client.submit("other")
            await client.background("slow")
            assert await waiting.result(TIMEOUT) == b"good"

    with SERVERS[kind]() as server:
        asyncio.run(main(server.address))


@pytest.mark.parametrize("plain", [False, True])
def test_of_two_attempts_at_a_job_only_the_newer_one_is_heard(
    plain: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    lost: list[JobLostError] = []
    ended = threading.Event()

    def tell(job: Job, attempt: int) -> bytes:
        try:
            job.status(attempt, 2)
        except JobLostError as error:
            lost.append(error)
            raise
        finally:
            if attempt == 1:
                ended.set()
        return b"%d" % attempt

    async def main(address: str) -> None:
        worker = Worker(address)
        attempts = itertools.count(1)
        came_again = threading.Event()

        def slow_plain(job: Job) -> bytes:
            attempt = next(attempts)
            if attempt == 1:
                assert came_again.wait(TIMEOUT)
            else:
                came_again.set()
                assert ended.wait(TIMEOUT)
                time.sleep(0.2)  # the end of the first attempt, if there is one, is sent
            return tell(job, attempt)

        async def slow(job: Job) -> bytes:
            attempt = next(attempts)
            if attempt == 1:
                await asyncio.to_thread(came_again.wait, TIMEOUT)
            else:
                came_again.set()
                await asyncio.to_thread(ended.wait, TIMEOUT)
                await asyncio.sleep(0.2)
            return tell(job, attempt)

        worker.register("slow", slow_plain if plain else slow, timeout=1)
        async with working(worker), AsyncClient(address) as client:
            future = await client.submit("slow")
            assert await future.result(TIMEOUT) == b"2"
            assert [error.handle for error in lost] == [future.handle]

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))
    assert "raised an exception" not in capfd.readouterr().err


def test_nothing_is_said_of_a_job_whose_end_was_told_from_outside() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        raised: list[BaseException] = []

        @worker.function("blocks")
        async def blocks(job: Job) -> bytes:
            watch = threading.Thread(
                target=job.end_from_outside, args=(Packet.WORK_COMPLETE, b"by the watch")
            )
            watch.start()
            watch.join(TIMEOUT)
            try:
                job.status(1, 2)
            except RuntimeError as error:
                raised.append(error)
            return b"all the same"

        async with working(worker), AsyncClient(address) as client:
            assert await client.run("blocks", timeout=TIMEOUT) == b"by the watch"
        assert len(raised) == 1

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_the_end_of_a_job_on_a_lost_connection_says_nothing_about_the_next_ones() -> None:
    """The server gives it to us again, under the same handle, when we have connected anew."""

    async def main() -> None:
        engine = WorkerEngine("server:4730")
        engine.connected({})
        engine.running.add(b"H:1")
        old = link.AioConnection(engine, {}, None)  # type: ignore[arg-type]
        attempt = link.JobSink(old, b"H:1")
        old.lose("gone")
        engine.connected({})
        engine.running.add(b"H:1")
        attempt.end(Packet.WORK_COMPLETE, b"", grab=False)
        assert engine.running == {b"H:1"}

    asyncio.run(main())
