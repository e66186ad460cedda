"""The text protocol for programs, against each server, blocking and in asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from geartrain import (
    Admin,
    AsyncAdmin,
    ConnectionLostError,
    FunctionStatus,
    MalformedPacketError,
    NoServersError,
    ServerError,
    WaitTimeoutError,
    WorkerStatus,
)
from tests.harness.processes import free_port
from tests.harness.rawwire import RES, Packet, encode
from tests.harness.servers import gearmand_c, geartrain
from tests.server.running import RunningServer

from .shells import both_shells


async def ask(
    shell: str, address: str, command: str, *args: Any, limit: float = 10.0, **keywords: Any
) -> Any:
    """One command, over a connection of its own, with an answer within `limit` seconds."""
    if shell == "asyncio":
        async with AsyncAdmin(address, timeout=limit) as admin:
            return await getattr(admin, command)(*args, **keywords)
    with Admin(address, timeout=limit) as blocking:
        return getattr(blocking, command)(*args, **keywords)


@pytest.fixture(scope="module", params=["geartrain", "gearmand-c"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with RunningServer() if request.param == "geartrain" else gearmand_c() as server:
        yield server


@both_shells
def test_functions_workers_version_and_pid_are_told(server: Any, shell: str) -> None:
    async def scenario() -> None:
        function = f"{shell}\tfunction"
        with server.connect() as worker:
            worker.can_do(function)
            worker.submit(function, type=18)
            status = await ask(shell, server.address, "status")
            assert FunctionStatus(function, 1, 0, 1) in status
            workers = await ask(shell, server.address, "workers")
            assert any(isinstance(each, WorkerStatus) and function in each.functions for each in workers)
            assert await ask(shell, server.address, "version")
            assert await ask(shell, server.address, "pid") == (
                server.process.pid if hasattr(server, "process") else os.getpid()
            )

    asyncio.run(scenario())


@both_shells
def test_a_journal_that_works_is_told_where_the_server_knows_the_command(server: Any, shell: str) -> None:
    async def scenario() -> None:
        if isinstance(server, RunningServer):
            assert await ask(shell, server.address, "journal_trouble") == ""
        else:
            with pytest.raises(ServerError, match="UNKNOWN_COMMAND"):
                await ask(shell, server.address, "journal_trouble")

    asyncio.run(scenario())


@both_shells
def test_a_connection_serves_many_commands(server: Any, shell: str) -> None:
    async def scenario() -> None:
        if shell == "asyncio":
            async with AsyncAdmin(server.address) as admin:
                versions = await asyncio.gather(*(admin.version() for _ in range(20)))
        else:
            with Admin(server.address) as blocking:
                versions = [blocking.version() for _ in range(20)]
        assert len(set(versions)) == 1

    asyncio.run(scenario())


@both_shells
def test_a_queue_is_limited_and_freed(server: Any, shell: str) -> None:
    function = f"limited-{shell}"

    async def scenario() -> None:
        with server.connect() as client:
            client.submit(function, type=18)
            await ask(shell, server.address, "max_queue", function, 1)
            client.send(18, function, "", "")
            client.expect(19)
            await ask(shell, server.address, "max_queue", function, (0, 2, 0))
            client.submit(function, type=18)
            client.send(18, function, "", "")
            client.expect(19)
            await ask(shell, server.address, "max_queue", function)
            client.submit(function, type=18)
        with pytest.raises(ValueError, match="can't carry"):
            await ask(shell, server.address, "max_queue", "two words", 1)

    asyncio.run(scenario())


@both_shells
@pytest.mark.parametrize("graceful", [False, True])
def test_a_server_is_shut_down(shell: str, graceful: bool) -> None:
    with geartrain() as server:
        asyncio.run(ask(shell, server.address, "shutdown", graceful=graceful))
        assert server.process.wait() == 0


@both_shells
def test_an_order_that_the_server_does_not_know_is_an_error_and_the_connection_goes_on(shell: str) -> None:
    # gearmand as Debian builds it has no `shutdown`; a newer one would end.
    async def scenario() -> None:
        with listening(b"ERR UNKNOWN_COMMAND Unknown+server+command\r\n", b"OK 1\n") as address:
            if shell == "asyncio":
                async with AsyncAdmin(address) as admin:
                    with pytest.raises(ServerError) as caught:
                        await admin.max_queue("f", 1)
                    assert await admin.version() == "1"
            else:
                with Admin(address) as blocking:
                    with pytest.raises(ServerError) as caught:
                        blocking.max_queue("f", 1)
                    assert blocking.version() == "1"
            assert (caught.value.code, caught.value.text) == ("UNKNOWN_COMMAND", "Unknown server command")

    asyncio.run(scenario())


@both_shells
def test_what_goes_wrong_has_a_name(shell: str) -> None:
    async def scenario() -> None:
        nowhere = f"127.0.0.1:{free_port()}"
        with pytest.raises(NoServersError) as refused:
            await ask(shell, nowhere, "status")
        assert refused.value.reasons == {nowhere: "Connection refused"}
        with listening(b"f\t1\t") as address, pytest.raises(WaitTimeoutError):
            await ask(shell, address, "status", limit=0.2)
        with listening(b"f\t1\t", None) as address, pytest.raises(ConnectionLostError):
            await ask(shell, address, "status")
        for nonsense in (b"what?\n.\n", b"f\t1\t2\tx\n.\n", b"\0RES\0\0\0\x06\0\0\0\0"):
            with listening(nonsense) as address, pytest.raises(MalformedPacketError):
                await ask(shell, address, "status")
        with listening(b"OK many\n") as address, pytest.raises(MalformedPacketError):
            await ask(shell, address, "pid")

    asyncio.run(scenario())


class listening:  # noqa: N801 - used like a function
    """A server that gives these answers to the lines that it is sent; None ends the connection."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listener.close()

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            for answer in self._answers:
                if answer is None:
                    return
                asked = b""
                while not asked.endswith(b"\n"):  # a token comes ahead of the line, and maybe alone
                    more = connection.recv(1000)
                    if not more:
                        return
                    asked += more
                connection.sendall(answer)
            while connection.recv(1000):
                pass


@both_shells
def test_a_refused_token_leaves_nothing_for_the_next_command(shell: str) -> None:
    """The server refuses it, and answers the command that came with it as well."""
    refused = encode(Packet.ERROR, "ACCESS_DENIED", "Nobody has this token", magic=RES)

    async def scenario() -> None:
        with listening(refused + b"OK 1\n") as address:
            if shell == "asyncio":
                async with AsyncAdmin(address, token="wrong", timeout=1) as admin:
                    with pytest.raises(ServerError, match="Nobody has this token"):
                        await admin.version()
                    with pytest.raises((ConnectionLostError, NoServersError, WaitTimeoutError)):
                        await admin.version()  # over a new connection, which `listening` does not take
            else:
                with Admin(address, token="wrong", timeout=1) as blocking:
                    with pytest.raises(ServerError, match="Nobody has this token"):
                        blocking.version()
                    with pytest.raises((ConnectionLostError, NoServersError, WaitTimeoutError)):
                        blocking.version()

    asyncio.run(scenario())
