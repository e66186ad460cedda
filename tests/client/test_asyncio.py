"""What only the asyncio client has: cancellation, thousands of calls side by side, any event loop."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from geartrain import AsyncClient, AsyncTaskSet, ClosedError, JobFailed, Task
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


def test_ten_thousand_jobs_are_in_flight_on_one_connection(server: RunningServer) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.address) as client:
            jobs = [asyncio.create_task(client.run("echo", str(number))) for number in range(10_000)]
            await asyncio.sleep(0)  # all have begun
            await client.echo(b"all were acknowledged")
            assert len(client._engine.links[0].jobs) == 10_000
            assert server.ask(lambda server: server.broker.functions.known(b"echo").total) == 10_000
            assert server.ask(lambda server: len(server.broker.peers)) == 1
            with worker(server.host, server.port):
                assert await asyncio.gather(*jobs) == [str(number).encode() for number in range(10_000)]

    asyncio.run(scenario())


def test_a_cancelled_call_leaves_the_connection_usable(server: RunningServer, working: Worker) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.address) as client:
            calls = [
                client.run("nobody"),
                client.background("nobody"),
                client.status("H:1"),
                client.echo(b"x"),
                client.submit("nobody"),
                client.result("H:1"),
                client.option("exceptions"),
            ]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0)  # they have begun, and nothing is sent yet
            for task in tasks:
                task.cancel()
            assert all(isinstance(end, asyncio.CancelledError) for end in await gather(tasks))
            waiting = asyncio.create_task(client.run("nobody"))
            await client.echo(b"it was sent")
            waiting.cancel()
            (end,) = await gather([waiting])
            assert isinstance(end, asyncio.CancelledError)
            assert await client.run("reverse", b"ab") == b"ba"
            assert await client.echo(b"y") == b"y"

    async def gather(tasks: list[asyncio.Task[object]]) -> list[object]:
        return await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())


def test_what_is_cancelled_before_it_is_sent_is_never_sent(server: RunningServer) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.address) as client:
            task = asyncio.create_task(client.run("never"))
            await asyncio.sleep(0)
            task.cancel()
            await client.echo()
            assert server.ask(lambda server: server.broker.functions.get(b"never")) is None

    asyncio.run(scenario())


def test_one_of_several_who_wait_for_a_future_may_give_up(server: RunningServer, working: Worker) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.address) as client:
            future = await client.submit("hold", b"x")
            first, second = (asyncio.ensure_future(future.result()) for _ in range(2))
            await future.created()
            first.cancel()
            working.release.set()
            assert await second == b"x"
            assert await future == b"x"

    asyncio.run(scenario())


def test_a_set_that_was_cancelled_can_be_waited_for_again(server: RunningServer, working: Worker) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.address) as client:
            tasks = AsyncTaskSet(client)
            task = tasks.add(Task("hold", b"x"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(tasks.wait(), 0.1)
            working.release.set()
            assert await tasks.wait()
            assert task.result == b"x"

    asyncio.run(scenario())


def test_callbacks_may_be_coroutine_functions(server: RunningServer, working: Worker) -> None:
    async def scenario() -> None:
        log: list[bytes] = []

        async with AsyncClient(server.address) as client:
            tasks = AsyncTaskSet(client)
            task = tasks.add(Task("reverse", b"ab"))

            @task.on_complete
            async def completed(task: Task, result: bytes) -> None:
                log.append(result)
                log.append(await client.run("reverse", result))

            assert await tasks.wait()
        assert log == [b"ba", b"ab"]

    asyncio.run(scenario())


def test_closing_ends_the_calls_that_wait(server: RunningServer) -> None:
    async def scenario() -> None:
        client = AsyncClient(server.address)
        waiting = [asyncio.create_task(client.run("nobody")) for _ in range(3)]
        await client.echo()
        await client.close()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, ClosedError) for end in ends)

    asyncio.run(scenario())


def test_calls_in_one_turn_of_the_loop_are_written_at_once(server: RunningServer, working: Worker) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.address) as client:
            await client.echo()
            link = client._engine.links[0]
            transport = link.channel.transport
            written: list[int] = []
            write = transport.write

            class Counting:
                def __getattr__(self, name: str) -> object:
                    return getattr(transport, name)

                def write(self, data: bytes) -> None:
                    written.append(len(data))
                    write(data)

            link.channel.transport = Counting()
            await asyncio.gather(*(client.run("echo") for _ in range(100)))
            link.channel.transport = transport
            # The first, which does not wait for others, and all others.
            assert len(written) == 2

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a loop that is closed leaves its connection open
def test_another_loop_may_take_the_client_over_when_the_first_is_closed(server: RunningServer) -> None:
    client = AsyncClient(server.address)
    assert asyncio.run(client.echo(b"x")) == b"x"
    assert asyncio.run(client.echo(b"y")) == b"y"

    async def scenario() -> None:
        await client.echo(b"z")
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            await asyncio.to_thread(asyncio.run, client.echo(b"z"))
        await client.close()

    asyncio.run(scenario())
    gc.collect()


def test_uvloop_will_do(server: RunningServer, working: Worker) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.address) as client:
            with pytest.raises(JobFailed):
                await client.run("fail")
            assert await asyncio.gather(*(client.run("reverse", b"ab") for _ in range(100))) == [b"ba"] * 100

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a loop that is closed leaves its connection open
def test_a_typed_call_may_be_the_first_on_another_loop(server: RunningServer, working: Worker) -> None:
    client = AsyncClient(server.address)
    reverse = client.function("reverse")

    async def scenario() -> None:
        future = reverse.submit(b"ab")
        assert await future.result(timeout=10) == b"ba"

    asyncio.run(scenario())
    asyncio.run(scenario())

    async def close() -> None:
        await asyncio.wait_for(asyncio.gather(client.close(), client.close(), client.close()), 10)

    async def scenario_and_close() -> None:
        await scenario()
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            await asyncio.to_thread(asyncio.run, scenario())
        await close()

    asyncio.run(scenario_and_close())
    gc.collect()


def test_a_client_that_is_closed_while_a_name_is_looked_up_connects_no_more(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, may_go_on = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def slow(*arguments: Any, **keywords: Any) -> Any:
        looks.set()
        assert may_go_on.wait(10)
        return real(*arguments, **keywords)

    async def scenario() -> None:
        client = AsyncClient(f"localhost:{server.port}")
        call = asyncio.create_task(client.run("echo"))
        assert await asyncio.to_thread(looks.wait, 10)
        await client.close()
        may_go_on.set()
        with pytest.raises(ClosedError):
            await call
        assert not client._channels

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    asyncio.run(scenario())  # which waits for what is looked up on a thread
    assert server.ask(lambda server: len(server.broker.peers)) == 0
