"""Many jobs at a time on one event loop."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
import uvloop

from geartrain import (
    AsyncClient,
    Job,
    JobException,
    JobLostError,
    TimeLimitError,
    Worker,
    tls_context,
)
from geartrain.worker.aio import connection as link
from geartrain.worker.aio.loop import CoroutineLoop
from geartrain.worker.engine import keepalive
from geartrain.worker.signals import StopAtOnce
from tests.harness.rawwire import Packet
from tests.harness.servers import SERVERS, geartrain
from tests.server.running import RunningServer

from .running import ScriptedServer

TIMEOUT = 20.0


@asynccontextmanager
async def working(worker: Worker, concurrency: int = 100) -> AsyncIterator[asyncio.Task[int]]:
    """Have a worker run on this event loop while the block lasts."""
    task = asyncio.create_task(worker.run_async(concurrency))
    try:
        yield task
    finally:
        worker.stop()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), TIMEOUT)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not await condition():  # noqa: ASYNC110 - it is the server's, which sets no event of ours
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("kind", SERVERS)
def test_coroutines_of_every_job_server_run_beside_each_other(
    kind: str, new_event_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        gate = asyncio.Event()
        running = 0

        @worker.function("meet")
        async def meet(job: Job) -> bytes:
            nonlocal running
            running += 1
            job.status(1, 2)
            if running == 50:
                gate.set()
            await gate.wait()
            return job.workload[::-1]

        async with working(worker, 50), AsyncClient(address) as client:
            futures = [await client.submit("meet", b"%d" % number) for number in range(10, 60)]
            results = [await future.result(TIMEOUT) for future in futures]
            assert results == [str(number)[::-1].encode() for number in range(10, 60)]

    with SERVERS[kind]() as server, asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main(server.address))


def test_no_more_jobs_are_taken_than_can_be_done_at_a_time() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        running = most = 0

        @worker.function("count")
        async def count(job: Job) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1

        async with working(worker, 3), AsyncClient(address) as client:
            for future in [await client.submit("count") for _ in range(60)]:
                await future.result(TIMEOUT)
        assert most == 3

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_cancelling_the_worker_gives_its_jobs_back() -> None:
    async def main(address: str) -> None:
        ended: list[str] = []

        async def slow(job: Job) -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                ended.append(job.handle)
                raise

        first = Worker(address)
        first.register("slow", slow)
        async with AsyncClient(address) as client:
            task = asyncio.create_task(first.run_async())
            handle = await client.background("slow", b"x")

            async def is_running() -> bool:
                return (await client.status(handle)).running

            async def is_waiting() -> bool:
                return not (await client.status(handle)).running

            await until(is_running)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended == [handle]
            await until(is_waiting)
            second = Worker(address)
            second.register("slow", lambda job: b"done")
            assert await second.run_async(max_jobs=1) == 1
            assert not (await client.status(handle)).known

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_stopping_lets_the_jobs_in_hand_finish() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)

        @worker.function("stop")
        async def stop(job: Job) -> bytes:
            worker.stop()
            await asyncio.sleep(0.05)
            return b"finished"

        async with AsyncClient(address) as client:
            future = await client.submit("stop")
            assert await asyncio.wait_for(worker.run_async(), TIMEOUT) == 1
            assert await future.result(TIMEOUT) == b"finished"

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_what_no_job_ends_with_ends_the_worker_and_gives_its_jobs_back() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)

        @worker.function("interrupted")
        def interrupted(job: Job) -> None:
            raise StopAtOnce(signal.SIGTERM)

        async with AsyncClient(address) as client:
            handle = await client.background("interrupted")
            with pytest.raises(StopAtOnce):
                await asyncio.wait_for(worker.run_async(), TIMEOUT)

            async def is_waiting() -> bool:
                return not (await client.status(handle)).running

            await until(is_waiting)

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_it_stops_also_amid_a_handshake() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            worker = Worker(f"127.0.0.1:{port}", tls=ssl.create_default_context())
            worker.register("f", lambda job: b"")
            task = asyncio.create_task(worker.run_async())
            connected, _ = await asyncio.to_thread(silent.accept)
            with connected:
                await asyncio.to_thread(connected.recv, 1)  # the handshake has begun
                worker.stop()
                assert await asyncio.wait_for(task, TIMEOUT) == 0

    asyncio.run(main())


def test_functions_may_come_and_go_while_it_runs() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)

        async def echo(job: Job) -> bytes:
            return job.workload

        worker.register("first", echo)
        async with working(worker), AsyncClient(address) as client:
            assert await client.run("first", b"1", timeout=TIMEOUT) == b"1"
            worker.register("second", echo)
            assert await client.run("second", b"2", timeout=TIMEOUT) == b"2"
            worker.unregister("first")
            assert await client.run("second", b"3", timeout=TIMEOUT) == b"3"
            waiting = await client.background("first")
            assert await client.run("second", b"4", timeout=TIMEOUT) == b"4"
            assert not (await client.status(waiting)).running

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_a_server_that_is_gone_is_waited_for_beside_the_others() -> None:
    async def main(one: str, other: str, port: int) -> None:
        worker = Worker([one, other])
        lost: list[JobLostError] = []
        gate = asyncio.Event()

        @worker.function("where")
        async def where(job: Job) -> bytes:
            return b"here"

        @worker.function("lose")
        async def lose(job: Job) -> None:
            job.status(0, 1)
            await gate.wait()
            try:
                job.status(1, 1)
            except JobLostError as error:
                lost.append(error)
                raise

        async with working(worker):
            async with AsyncClient(one) as client:
                await client.background("lose")

                async def is_running() -> bool:
                    return (await client.run("where", timeout=TIMEOUT)) == b"here" and bool(worker._loops)

                await until(is_running)
            await asyncio.to_thread(first.process.kill)
            async with AsyncClient(other) as client:
                assert await client.run("where", timeout=TIMEOUT) == b"here"
                gate.set()
                assert await client.run("where", timeout=TIMEOUT) == b"here"
            assert len(lost) == 1
            with geartrain(port=port):
                async with AsyncClient(one) as client:
                    assert await client.run("where", timeout=TIMEOUT) == b"here"

    with geartrain() as first, geartrain() as second:
        asyncio.run(main(first.address, second.address, first.port))


def test_a_coroutine_waits_for_a_server_that_is_slow_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "BACKLOG", 1 << 20)
    seen: list[BaseException] = []

    async def main(server: ScriptedServer) -> None:
        worker = Worker(server.address)
        drained = asyncio.Event()

        @worker.function("flood")
        async def flood(job: Job) -> None:
            try:
                for _ in range(100):
                    job.data(bytes(1 << 20))
            except BufferError as error:
                seen.append(error)
            waiting = asyncio.create_task(job.drain())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            drained.set()
            await waiting

        task = asyncio.create_task(worker.run_async())
        end = await asyncio.to_thread(server.accept)
        await asyncio.to_thread(end.greet)
        await asyncio.to_thread(end.assign, "flood")
        await asyncio.wait_for(drained.wait(), TIMEOUT)
        end.peer.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with ScriptedServer(receive_buffer=4096) as server:
        asyncio.run(main(server))
    assert "await job.drain()" in str(seen[0])


def test_a_coroutine_is_broken_off_at_its_limit_and_a_plain_time_out_is_an_exception_like_others() -> None:
    async def main(address: str) -> None:
        worker = Worker(address)
        errors: list[BaseException] = []
        worker.on_error(lambda job, error: errors.append(error))

        @worker.function("slow", time_limit=0.05)
        async def slow(job: Job) -> None:
            await asyncio.sleep(1000)

        @worker.function("own", time_limit=1000)
        async def own(job: Job) -> None:
            raise TimeoutError("of a database")

        async with working(worker), AsyncClient(address) as client:
            with pytest.raises(JobException, match=r"past its time limit of 0\.05 s"):
                await client.run("slow", timeout=TIMEOUT)
            with pytest.raises(JobException, match="of a database"):
                await client.run("own", timeout=TIMEOUT)
        assert [type(error) for error in errors] == [TimeLimitError, TimeoutError]

    with RunningServer() as server:
        asyncio.run(main(f"127.0.0.1:{server.port}"))


def test_concurrency_and_max_jobs_are_checked() -> None:
    worker = Worker("127.0.0.1:1")
    with pytest.raises(ValueError, match="concurrency"):
        asyncio.run(worker.run_async(0))
    with pytest.raises(ValueError, match="max_jobs"):
        asyncio.run(worker.run_async(1, -1))


@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("tls", [False, True])
def test_the_last_result_is_sent_to_its_end(
    tls: bool, new_event_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    context = tls_context(str(tmp_path / "ca.pem")) if tls else None

    async def main(address: str) -> None:
        worker = Worker(address, tls=context)

        @worker.function("large")
        async def large(job: Job) -> bytes:
            return bytes(20_000_000)

        async with AsyncClient(address, tls=context) as client:
            future = await client.submit("large")
            assert await asyncio.wait_for(worker.run_async(max_jobs=1), TIMEOUT) == 1
            assert len(await future.result(timeout=TIMEOUT)) == 20_000_000

    with (
        geartrain(*([f"--tls-certificate={tmp_path / 'server.pem'}"] if tls else [])) as server,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        runner.run(main(server.address))


def test_handshakes_that_fail_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive.Backoff, "pause", lambda self: 0.01)

    async def main(address: str) -> None:
        worker = Worker(address, tls=ssl.create_default_context())
        worker.register("f", lambda job: b"")
        async with working(worker):
            complaints: list[str] = []
            await asyncio.sleep(0)  # the worker begins
            (loop,) = [each for each in worker._loops if isinstance(each, CoroutineLoop)]

            async def tried() -> bool:
                return len(complaints) > 5

            monkeypatch.setattr(keepalive.Backoff, "lost", lambda backoff: complaints.append("lost"))
            await until(tried)
            worker.register("g", lambda job: b"")
            assert len(loop._connections) <= 1

    with RunningServer() as server:
        asyncio.run(main(server.address))


def test_no_more_jobs_are_asked_for_than_max_jobs_of_all_servers_together() -> None:
    def serve(one: ScriptedServer, other: ScriptedServer, gate: threading.Event) -> None:
        ends = {}
        for server in (one, other):
            ends[server] = server.accept()
            ends[server].greet()
        for server in (one, other):
            ends[server].send(Packet.NOOP)
            ends[server].expect(Packet.GRAB_JOB_ALL)
        ends[one].send(Packet.JOB_ASSIGN_UNIQ, "H:one:1", "hold", "", "")
        gate.set()
        ends[one].expect(Packet.WORK_COMPLETE)
        ends[other].send(Packet.JOB_ASSIGN_UNIQ, "H:other:1", "hold", "", "")
        ends[other].expect(Packet.WORK_COMPLETE)
        assert ends[one].peer.recv_rest() == []

    async def main(one: ScriptedServer, other: ScriptedServer) -> None:
        worker = Worker([one.address, other.address])
        gate = threading.Event()

        @worker.function("hold")
        async def hold(job: Job) -> None:
            await asyncio.to_thread(gate.wait, TIMEOUT)

        serving = asyncio.create_task(asyncio.to_thread(serve, one, other, gate))
        assert await asyncio.wait_for(worker.run_async(max_jobs=2), TIMEOUT) == 2
        await serving

    with ScriptedServer() as one, ScriptedServer() as other:
        asyncio.run(main(one, other))
