"""Servers that die, hang or refuse, and a client that goes on: real servers, both shells."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from geartrain import ConnectionLostError, NoServersError, Task, WaitTimeoutError
from geartrain.server import ServerOptions
from tests.harness.processes import free_port, wait_until
from tests.harness.servers import geartrain
from tests.server.running import RunningServer

from .proxy import Proxy
from .shells import both_shells, client_of, task_set_of
from .workers import worker

JOBS = 1000


@both_shells
def test_no_foreground_job_is_lost_when_the_first_of_two_servers_is_killed(shell: str) -> None:
    async def scenario() -> None:
        with (
            geartrain() as first,
            RunningServer() as second,
            worker(first.host, first.port) as one,
            worker(second.host, second.port) as two,
        ):
            async with client_of(shell, [first.address, second.address]) as client:
                tasks = task_set_of(client)
                for number in range(JOBS):
                    task = tasks.add(Task("reverse", f"job {number}"))
                    if number == JOBS // 3:
                        task.on_complete(lambda task, result: first.process.kill())
                assert await tasks.wait(timeout=60)
                results = [task.result for task in tasks.tasks]
                assert results == [f"job {number}"[::-1].encode() for number in range(JOBS)]
                assert one.done >= JOBS // 3
                assert two.done >= JOBS // 10
                assert one.done + two.done >= JOBS

    asyncio.run(scenario())


@both_shells
def test_futures_outlive_their_server(shell: str) -> None:
    async def scenario() -> None:
        with geartrain() as first, RunningServer() as second, worker(second.host, second.port):
            async with client_of(shell, [first.address, second.address]) as client:
                futures = [await client.submit("reverse", str(number)) for number in range(100)]
                handle = await futures[0].created(timeout=10)
                first.process.kill()
                assert [await future.result(timeout=30) for future in futures] == [
                    str(number)[::-1].encode() for number in range(100)
                ]
                assert futures[0].handle != handle

    asyncio.run(scenario())


@both_shells
def test_a_server_that_was_restarted_is_found_again(shell: str) -> None:
    async def scenario() -> None:
        with RunningServer() as server:
            async with client_of(shell, server.address) as client:
                await client.background("nobody")
                server.stop()
                with (
                    RunningServer(ServerOptions(port=server.port)) as again,
                    worker(again.host, again.port),
                ):
                    # Long enough for the client to look whether the connection still lives.
                    await asyncio.sleep(0.1)
                    assert await client.background("reverse")
                    assert await client.run("reverse", b"ab") == b"ba"

    asyncio.run(scenario())


@both_shells
def test_without_a_server_every_call_says_why(shell: str) -> None:
    async def scenario() -> None:
        servers = [f"127.0.0.1:{free_port()}", "unix:/nowhere/at/all"]
        async with client_of(shell, servers) as client:
            calls = ("run", "submit", "background", "status", "result", "echo", "option")
            for name in calls:
                with pytest.raises(NoServersError) as caught:
                    await getattr(client, name)("x")
                assert caught.value.reasons.keys() == set(servers)
                assert "refused" in caught.value.reasons[servers[0]]
                assert "No such file" in caught.value.reasons[servers[1]]
            tasks = task_set_of(client)
            task = tasks.add(Task("f"))
            with pytest.raises(NoServersError):
                await tasks.wait()
            assert isinstance(task.failure, NoServersError)

    asyncio.run(scenario())


@both_shells
def test_a_server_that_does_not_take_the_connection_is_given_up_in_time(shell: str) -> None:
    async def scenario() -> None:
        # A listener whose backlog is full lets connections hang.
        with socket.socket() as listener, RunningServer() as server, worker(server.host, server.port):
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            where = listener.getsockname()
            fill = [socket.socket() for _ in range(4)]
            for connection in fill:
                connection.setblocking(False)
                connection.connect_ex(where)
            try:
                servers = [f"127.0.0.1:{where[1]}", server.address]
                async with client_of(shell, servers, connect_timeout=0.5) as client:
                    assert await client.run("reverse", b"ab") == b"ba"
            finally:
                for connection in fill:
                    connection.close()

    asyncio.run(scenario())


@both_shells
def test_a_connection_that_swallows_everything_is_noticed(shell: str) -> None:
    async def scenario() -> None:
        with (
            RunningServer() as server,
            worker(server.host, server.port),
            Proxy(server.host, server.port) as proxy,
        ):
            servers = [proxy.address, server.address]
            async with client_of(shell, servers, probe_interval=0.3, probe_timeout=0.3) as client:
                assert await client.run("reverse", b"ab") == b"ba"
                proxy.swallows = True
                begun = time.monotonic()
                assert await client.run("reverse", b"cd", timeout=30) == b"dc"
                assert time.monotonic() - begun >= 0.5
                tasks = task_set_of(client)
                for number in range(100):
                    tasks.add(Task("reverse", str(number)))
                assert await tasks.wait(timeout=30)
                assert proxy.accepted == 1

    asyncio.run(scenario())


@both_shells
def test_a_job_that_takes_long_is_waited_for_as_long_as_the_server_answers(shell: str) -> None:
    async def scenario() -> None:
        with RunningServer() as server, worker(server.host, server.port) as slow:
            async with client_of(shell, server.address, probe_interval=0.1, probe_timeout=5) as client:
                future = await client.submit("hold", b"x")
                with pytest.raises(WaitTimeoutError):
                    await future.result(timeout=0.8)
                slow.release.set()
                assert await future.result(timeout=30) == b"x"
                assert future.task.retries == 0
                assert slow.done == 1

    asyncio.run(scenario())


@both_shells
def test_an_unacknowledged_background_job_is_not_queued_twice(shell: str) -> None:
    async def scenario() -> None:
        with RunningServer() as server, Proxy(server.host, server.port) as proxy:
            async with client_of(
                shell, [proxy.address, server.address], probe_interval=0.2, probe_timeout=0.2
            ) as client:
                await client.echo(b"x")
                proxy.swallows = True
                with pytest.raises(ConnectionLostError) as caught:
                    await client.background("f")
                assert caught.value.server == proxy.address
                assert await client.background("f", retry_count=1)
            with server.connect() as peer:
                peer.send_text("status")
                assert peer.recv_lines() == [b"f\t1\t0\t0"]

    asyncio.run(scenario())


@both_shells
def test_a_server_that_drains_finishes_what_runs_and_new_jobs_go_to_another(shell: str) -> None:
    async def scenario() -> None:
        with (
            RunningServer() as first,
            RunningServer() as second,
            worker(first.host, first.port) as one,
            worker(second.host, second.port) as two,
        ):
            async with client_of(shell, [first.address, second.address]) as client:
                held = await client.submit("hold", b"x")
                await held.created(timeout=10)
                assert one.held.wait(10)
                first.ask(lambda server: server.drain())
                assert await client.background("echo", timeout=30)
                assert await client.run("reverse", b"ab", timeout=30) == b"ba"
                one.release.set()
                assert await held.result(timeout=30) == b"x"
                # The background job is of another function, so it may be served last.
                await asyncio.to_thread(wait_until, lambda: two.done == 2, "the background job is done")
                assert one.done == 1

    asyncio.run(scenario())


@both_shells
def test_uniques_coalesce_across_servers_that_know_nothing_of_each_other(shell: str) -> None:
    async def scenario() -> None:
        with RunningServer() as one, RunningServer() as two:
            servers = [one.address, two.address]
            async with (
                client_of(shell, servers, route="unique") as client,
                client_of(shell, servers[::-1], route="unique") as other,
            ):
                for number in range(20):
                    handle = await client.background("f", unique=f"u{number}")
                    assert await other.background("f", unique=f"u{number}") == handle
                totals = []
                for server in (one, two):
                    with server.connect() as peer:
                        peer.send_text("status")
                        totals.append(int(peer.recv_lines()[0].split(b"\t")[1]))
                assert sum(totals) == 20
                assert min(totals) >= 2
                # A handle is found wherever its job is.
                assert (await other.status(handle)).known
                assert (await other.status(unique="u3")).known
                assert not (await other.status("H:nowhere:1")).known

    asyncio.run(scenario())


@both_shells
def test_a_slow_server_slows_the_client_down_instead_of_filling_its_memory(shell: str) -> None:
    async def scenario() -> None:
        with (
            RunningServer() as server,
            worker(server.host, server.port),
            Proxy(server.host, server.port) as proxy,
        ):
            async with client_of(shell, proxy.address, probe_interval=60) as client:
                await client.echo(b"x")
                proxy.stalls = True
                tasks = task_set_of(client)
                workload = b"x" * 50_000
                for _ in range(1000):
                    tasks.add(Task("reverse", workload))
                assert not await tasks.wait(timeout=0.5)
                waiting = [task for task in tasks.tasks if task.state.value == "waiting"]
                # Of 50 MB no more was made ready than two sockets and a chunk or two hold.
                assert len(waiting) > 500
                with pytest.raises(WaitTimeoutError):
                    await client.submit("reverse", b"x", timeout=0.2)
                proxy.stalls = False
                assert await tasks.wait(timeout=60)
                assert all(task.result == workload for task in tasks.tasks)

    asyncio.run(scenario())


@both_shells
def test_answers_are_read_while_a_set_is_written(shell: str) -> None:
    """Otherwise both sides write until their sockets are full, and wait for each other for ever."""

    async def scenario() -> None:
        with RunningServer() as server, worker(server.host, server.port):
            async with client_of(shell, server.address) as client:
                tasks = task_set_of(client)
                for _ in range(300):
                    tasks.add(Task("echo", b"x" * 200_000))
                assert await tasks.wait(timeout=60)

    asyncio.run(scenario())
