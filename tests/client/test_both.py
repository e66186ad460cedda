"""What both clients do, against our own server and gearmand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from geartrain import AsyncClient, Client, JobException, JobFailed, NoServersError, Task, TaskSet
from tests.harness.processes import free_port
from tests.harness.servers import SERVERS, JobServer

from .workers import worker


@pytest.fixture(scope="module", params=["geartrain", "gearmand-c"])
def server(request: pytest.FixtureRequest) -> Iterator[JobServer]:
    with SERVERS[request.param]() as server, worker(server.host, server.port):
        yield server


def test_a_job_gives_its_result(server: JobServer) -> None:
    with Client(server.address) as client:
        assert client.run("reverse", b"hello") == b"olleh"
        with pytest.raises(JobFailed):
            client.run("fail")
        with pytest.raises(JobException, match="no milk"):
            client.run("raise", "no milk")
        future = client.submit("chatty", b"x")
        assert list(future.data()) == [b"a", b"b"]
        assert future.result() == b"x"


async def everything(address: str) -> None:
    async with AsyncClient(address) as client:
        assert await client.run("reverse", b"hello") == b"olleh"
        with pytest.raises(JobFailed):
            await client.run("fail")
        future = await client.submit("chatty", b"x")
        assert [chunk async for chunk in future.data()] == [b"a", b"b"]
        assert await future == b"x"


def test_a_job_gives_its_result_in_asyncio(server: JobServer) -> None:
    asyncio.run(everything(server.address))


def test_thousands_of_tasks_are_pipelined(server: JobServer) -> None:
    with Client(server.address) as client:
        tasks = TaskSet(client)
        for number in range(2000):
            tasks.add(Task("reverse", str(number)))
        assert tasks.wait(timeout=30)
        assert [task.result for task in tasks.tasks] == [str(number)[::-1].encode() for number in range(2000)]


def test_without_a_server_the_reasons_are_told() -> None:
    address = f"127.0.0.1:{free_port()}"
    with Client(address) as client, pytest.raises(NoServersError) as caught:
        client.run("reverse")
    assert caught.value.reasons == {address: "Connection refused"}
