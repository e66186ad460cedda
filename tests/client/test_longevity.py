"""A client that has been through much: its next call is as good as that of a new one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from geartrain import (
    Admin,
    AsyncAdmin,
    AsyncClient,
    Client,
    Executor,
    NoServersError,
    Task,
    WaitTimeoutError,
    tls_context,
)
from geartrain.server import ServerOptions
from tests.harness.processes import free_port, wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, gearmand_c, gearmand_perl, geartrain
from tests.server.running import RunningServer

from .shells import both_shells, client_of, task_set_of
from .workers import Worker, worker

TIMEOUT = 20.0
SHORT = 0.05


class Place:
    """A server that comes and goes at one address, with a worker each time."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.worker: Worker
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        self._stack.enter_context(RunningServer(ServerOptions(port=self.port)))
        self.worker = self._stack.enter_context(worker("127.0.0.1", self.port))

    def stop(self) -> None:
        self._stack.close()

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    place.start()
    yield place
    place.stop()


# Each of these leaves something behind in the client, in the socket, or in both.

History = Callable[[Any, Any], Awaitable[None]]


async def nothing(place: Place, client: Any) -> None:
    assert await client.run("echo", b"x", timeout=TIMEOUT) == b"x"


async def time_outs(place: Place | None, client: Any) -> None:
    for _ in range(3):
        with pytest.raises(WaitTimeoutError):
            await client.run("nothere", timeout=SHORT)


async def a_late_result(place: Place, client: Any) -> None:
    with pytest.raises(WaitTimeoutError):
        await client.run("hold", timeout=SHORT)
    done = place.worker.done
    place.worker.release.set()
    # The result lies in the socket when the worker has come for more.
    with Client(place.address) as other:
        other.run("echo", timeout=TIMEOUT)
    assert place.worker.done > done


async def cancelled_futures(place: Place, client: Any) -> None:
    for _ in range(3):
        future = await client.submit("nothere")
        assert future.cancel()


async def no_server(place: Place, client: Any) -> None:
    await nothing(place, client)
    place.stop()
    for _ in range(3):
        with pytest.raises(NoServersError):
            await client.run("echo", timeout=TIMEOUT)
        with pytest.raises(NoServersError):
            await client.status("H:1", timeout=TIMEOUT)
    place.start()


async def nothing_in_the_background(place: Place | None, client: Any) -> None:
    assert await client.background("nothere", timeout=TIMEOUT)


HISTORIES: list[History] = [nothing, time_outs, a_late_result, cancelled_futures, no_server]
any_history = pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)

# The calls. Each raises if it does not end as it would for a new client.

Call = Callable[[Any], Coroutine[Any, Any, None]]


async def run(client: Any) -> None:
    assert await client.run("echo", b"y", timeout=TIMEOUT) == b"y"


async def background(client: Any) -> None:
    assert await client.background("echo", b"y", timeout=TIMEOUT)


async def submit(client: Any) -> None:
    future = await client.submit("echo", b"y", timeout=TIMEOUT)
    assert await future.result() == b"y"


async def status(client: Any) -> None:
    assert not (await client.status("H:nowhere:1", timeout=TIMEOUT)).known


async def echo(client: Any) -> None:
    assert await client.echo(b"there", timeout=TIMEOUT) == b"there"


async def option(client: Any) -> None:
    await client.option("exceptions", timeout=TIMEOUT)


async def result(client: Any) -> None:
    with pytest.raises(Exception, match="no job or kept result has this handle"):
        await client.result("H:nowhere:1", timeout=TIMEOUT)


async def tasks(client: Any) -> None:
    tasks = task_set_of(client)
    for number in range(50):
        tasks.add(Task("echo", b"%d" % number, background=number % 2 == 0))
    assert await tasks.wait(TIMEOUT), [task.failure for task in tasks.tasks if task.failure]


async def typed(client: Any) -> None:
    function = client._thing.function("echo") if hasattr(client, "_thing") else client.function("echo")
    called = function(b"y")
    assert (await called if asyncio.iscoroutine(called) else called) == b"y"
    results = function.map([b"1", b"2"])
    assert (await results if isinstance(client, AsyncClient) else list(results)) == [b"1", b"2"]
    queued = function.background(b"y")
    assert await queued if asyncio.iscoroutine(queued) else queued


CALLS: list[Call] = [run, background, submit, status, echo, option, result, tasks, typed]
any_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)


@any_call
@any_history
@both_shells
def test_the_next_call_after_a_restart_is_as_good_as_that_of_a_new_client(
    place: Place, shell: str, history: History, call: Call
) -> None:
    async def scenario() -> None:
        async with client_of(shell, place.address) as client:
            await history(place, client)
            # The loop stands still meanwhile, so no client sees that its connection ends.
            place.restart()
            await call(client)
            place.restart()
            await call(client)
            await call(client)

    asyncio.run(scenario())


@any_history
@both_shells
def test_the_next_calls_are_as_good_as_those_of_a_new_client_without_a_restart(
    place: Place, shell: str, history: History
) -> None:
    async def scenario() -> None:
        async with client_of(shell, place.address) as client:
            await history(place, client)
            for call in CALLS:
                await call(client)

    asyncio.run(scenario())


@any_call
def test_several_threads_call_at_once_after_a_restart(place: Place, call: Call) -> None:
    from .shells import Blocking

    with Client(place.address) as client, ThreadPoolExecutor(4) as pool:

        def once(_: int) -> None:
            asyncio.run(call(Blocking(client)))

        for _ in range(3):
            list(pool.map(once, range(8)))
            place.restart()
        list(pool.map(once, range(8)))


def test_a_thread_that_waits_does_not_keep_others_from_a_new_connection(place: Place) -> None:
    with Client(place.address) as client, ThreadPoolExecutor(1) as pool:
        held = pool.submit(client.run, "hold", b"x")
        wait_until(place.worker.held.is_set, "the job runs")
        place.restart()
        place.worker.release.set()
        assert client.background("echo", b"y", timeout=TIMEOUT)
        # It has asked for a connection when there was no server, or a moment later.
        error = held.exception(TIMEOUT)
        assert error is None or isinstance(error, NoServersError)


def test_an_event_loop_that_did_not_run_between_two_calls_sends_nothing_to_a_server_that_is_gone(
    place: Place,
) -> None:
    with asyncio.Runner() as runner:
        client = AsyncClient(place.address)
        for call in CALLS:
            runner.run(call(client))
            place.restart()
            runner.run(call(client))
        runner.run(client.close())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a loop that is closed leaves its connection open
def test_a_client_of_an_event_loop_that_was_closed_works_in_the_next(place: Place) -> None:
    client = AsyncClient(place.address)

    async def time_out() -> None:
        with pytest.raises(WaitTimeoutError):
            await client.run("nothere", timeout=SHORT)

    for call in CALLS:
        asyncio.run(time_out())
        asyncio.run(call(client))
    asyncio.run(client.close())
    gc.collect()


def test_an_executor_outlives_its_server(place: Place) -> None:
    with Executor(place.address) as pool:
        echo = pool.function("echo")
        for _ in range(3):
            assert echo.submit(b"x").result(TIMEOUT) == b"x"
            assert pool.function("nothere").submit(b"x").cancel()
            place.restart()
        assert echo.submit(b"x").result(TIMEOUT) == b"x"
        place.stop()
        with pytest.raises(NoServersError):
            echo.submit(b"x").result(TIMEOUT)
        place.start()
        assert list(pool.map(echo, [b"a", b"b"], timeout=TIMEOUT)) == [b"a", b"b"]


def test_a_task_set_raises_once_for_what_no_server_took(place: Place) -> None:
    from geartrain import TaskSet

    with Client(place.address) as client:
        tasks = TaskSet(client)
        place.stop()
        tasks.add(Task("echo", b"x"))
        with pytest.raises(NoServersError):
            tasks.wait(TIMEOUT)
        place.start()
        later = tasks.add(Task("echo", b"y"))
        # Not all have succeeded, and that is known.
        assert not tasks.wait(TIMEOUT)
        assert later.result == b"y"


def test_an_admin_outlives_its_server(place: Place) -> None:
    with Admin(place.address, timeout=TIMEOUT) as admin:
        for command in (admin.version, admin.status, admin.workers, admin.pid, admin.jobs):
            assert command() is not None
            place.restart()
            assert command() is not None
        admin.create_function("new")
        place.restart()
        admin.create_function("new")
        assert "new" in [function.function for function in admin.status()]
        place.stop()
        with pytest.raises(NoServersError):
            admin.version()
        place.start()
        assert admin.version()


def test_a_child_process_has_an_admin_and_an_executor_of_its_own(place: Place) -> None:
    with Admin(place.address, timeout=TIMEOUT) as admin, Executor(place.address) as pool:
        echo = pool.function("echo")
        assert admin.version()
        assert echo.submit(b"x").result(TIMEOUT) == b"x"
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            # Nothing of the test may go on in the child.
            try:
                answers = [admin.version().encode(), echo.submit(b"y").result(TIMEOUT)]
                os.write(write, b" ".join(answers))
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        assert os.read(read, 100).endswith(b" y")
        os.close(read)
        assert admin.version()
        assert echo.submit(b"z").result(TIMEOUT) == b"z"


def test_threads_may_share_an_admin(place: Place) -> None:
    with Admin(place.address, timeout=TIMEOUT) as admin, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: admin.pid() if n % 2 else admin.version(), range(200)))
        assert {type(answer) for answer in answers[::2]} == {str}
        assert {type(answer) for answer in answers[1::2]} == {int}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a loop that is closed leaves its connection open
def test_an_async_admin_outlives_its_server_and_its_event_loop(place: Place) -> None:
    admin = AsyncAdmin(place.address, timeout=TIMEOUT)

    async def commands() -> None:
        for command in (admin.version, admin.status, admin.workers, admin.pid, admin.jobs):
            assert await command() is not None
            place.restart()
            assert await command() is not None
            await asyncio.gather(*(command() for _ in range(5)))

    for _ in range(2):
        asyncio.run(commands())
    asyncio.run(admin.close())
    gc.collect()


@both_shells
def test_a_server_that_leaves_is_followed_by_the_one_at_its_address(shell: str) -> None:
    async def scenario(old: JobServer) -> None:
        async with client_of(shell, old.address) as client:
            await client.background("f", b"1", timeout=TIMEOUT)
            with old.connect() as other:
                # A job that runs keeps the old one.
                other.can_do("f")
                job = other.grab()
                other.send_text("shutdown graceful")
                assert other.recv_line() == b"OK\r\n"
                with geartrain(port=old.port) as new:
                    assert await client.background("g", b"2", timeout=TIMEOUT)
                    with Admin(new.address) as admin:
                        assert [line.function for line in admin.status()] == ["g"]
                    other.send(Packet.WORK_COMPLETE, job.handle, b"")
                    other.expect_closed()
                    assert old.process.wait() == 0

    with geartrain() as old:
        asyncio.run(scenario(old))


@both_shells
@pytest.mark.parametrize("kind", [geartrain, gearmand_c, gearmand_perl])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_cut_off_by_the_end_of_a_server_leaves_nothing_behind(
    shell: str, kind: Any, number: signal.Signals
) -> None:
    port = free_port()

    async def scenario() -> None:
        async with client_of(shell, f"127.0.0.1:{port}") as client:
            for _ in range(3):
                with kind(port=port) as server:
                    assert await client.background("f", b"x", timeout=TIMEOUT)
                    # Most of it is still here when its time is over.
                    with pytest.raises(WaitTimeoutError):
                        await client.run("nothere", bytes(20_000_000), timeout=0.01)
                    server.process.signal(number)
                    server.process.wait()
                with kind(port=port):
                    assert await client.background("f", b"x", timeout=TIMEOUT)
                    assert await client.echo(b"x", timeout=TIMEOUT) == b"x"

    asyncio.run(scenario())


@both_shells
def test_a_handle_is_looked_for_on_a_server_that_was_gone_for_long(place: Place, shell: str) -> None:
    async def scenario(first: str) -> None:
        async with client_of(shell, [first, place.address]) as client:
            place.stop()
            for _ in range(6):
                assert not (await client.status("H:1", timeout=TIMEOUT)).known
            place.start()
            with Client(place.address) as other:
                handle = other.background("nothere")
            assert (await client.status(handle, timeout=TIMEOUT)).known

    with RunningServer() as first:
        asyncio.run(scenario(first.address))


@both_shells
@pytest.mark.parametrize("history", [nothing_in_the_background, time_outs], ids=["nothing", "time-outs"])
def test_a_new_connection_is_encrypted_like_the_first(tmp_path: Path, shell: str, history: History) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    options = f"--tls-certificate={tmp_path / 'server.pem'}"
    context = tls_context(str(tmp_path / "ca.pem"))
    port = free_port()
    calls = [background, status, echo, option, result]

    async def scenario() -> None:
        async with (
            client_of(shell, f"127.0.0.1:{port}", tls=context) as client,
            AsyncAdmin(f"127.0.0.1:{port}", tls=context, timeout=TIMEOUT) as async_admin,
        ):
            for call in calls:
                # Each call is the first after a restart.
                with geartrain(options, port=port) as server:
                    await call(client)
                    await history(None, client)
                    assert admin.version()
                    assert await async_admin.version()
                    # Told to stop, it would wait for its idle peers to say goodbye.
                    server.process.kill()

    with Admin(f"127.0.0.1:{port}", tls=context, timeout=TIMEOUT) as admin:
        asyncio.run(scenario())


@both_shells
def test_a_new_connection_goes_through_a_unix_socket_like_the_first(tmp_path: Path, shell: str) -> None:
    path = f"unix:{tmp_path}/socket"

    async def scenario() -> None:
        async with client_of(shell, path) as client:
            for call in (background, status, echo, option, result):
                with geartrain("--listen", path):
                    await call(client)
                    await time_outs(None, client)

    asyncio.run(scenario())
