"""What both clients do against real servers: our own, and gearmand and Gearman::Server where they can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from geartrain import (
    Admin,
    ClosedError,
    JobException,
    JobFailed,
    JobStatus,
    NoServersError,
    ServerError,
    Task,
    TaskState,
    UnknownJobError,
    WaitTimeoutError,
)
from geartrain.server import ServerOptions
from geartrain.server.options import Limits
from tests.harness.processes import wait_until
from tests.server.running import RunningServer

from .shells import both_shells, client_of, task_set_of
from .stage import Stage
from .workers import worker


@pytest.fixture(scope="module", params=["geartrain", "gearmand-c", "gearmand-perl"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Any of the servers."""
    stage = Stage(request.param)
    yield stage
    stage.close()


@pytest.fixture(scope="module", params=["geartrain", "gearmand-c"])
def full(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A server that has all of the protocol."""
    stage = Stage(request.param)
    yield stage
    stage.close()


@pytest.fixture
def own() -> Iterator[Stage]:
    """Our own server, for one test."""
    stage = Stage("geartrain")
    yield stage
    stage.close()


@both_shells
def test_a_job_gives_its_result_or_says_why_there_is_none(stage: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        assert await client.run("reverse", b"hello") == b"olleh"
        assert await client.run("reverse", "h\u00e9") == "h\u00e9".encode()[::-1]
        assert await client.run("reverse") == b""
        with pytest.raises(JobFailed) as failed:
            await client.run("fail")
        assert failed.value.handle.startswith("H:")
        with pytest.raises(JobException, match="no milk") as raised:
            await client.run("raise", b"no milk\xff")
        assert raised.value.data == b"no milk\xff"

    stage.play(shell, scenario)


@both_shells
def test_without_the_option_an_exception_is_a_failure(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        with pytest.raises(JobFailed):
            await client.run("raise", b"no milk")
        await client.option("exceptions")
        with pytest.raises(JobException):
            await client.run("raise", b"no milk")

    full.play(shell, scenario, exceptions=False)


@both_shells
def test_an_option_that_the_server_does_not_know_is_an_error(stage: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        with pytest.raises(ServerError) as caught:
            await client.option("nonsense")
        assert caught.value.code.upper() == "UNKNOWN_OPTION"
        assert await client.run("reverse", b"ab") == b"ba"

    stage.play(shell, scenario)


@both_shells
def test_an_echo_comes_back(stage: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        assert await client.echo(b"a\0b") == b"a\0b"
        assert await client.echo() == b""

    stage.play(shell, scenario)


@both_shells
def test_thousands_of_tasks_are_pipelined(stage: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        tasks = task_set_of(client)
        for number in range(2000):
            tasks.add(Task("reverse", str(number)))
        assert await tasks.wait(timeout=50)
        assert [task.result for task in tasks.tasks] == [str(number)[::-1].encode() for number in range(2000)]

    stage.play(shell, scenario)


@both_shells
def test_a_future_tells_all_that_the_worker_told(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        future = await client.submit("chatty", b"x")
        assert [chunk async for chunk in future.data()] == [b"a", b"b"]
        assert await future.result() == b"x"
        assert await future.exception() is None
        assert future.done()
        assert future.status == JobStatus(known=False, running=False, numerator=2, denominator=2)
        assert future.handle == await future.created() == future.task.handle

    full.play(shell, scenario)


@both_shells
def test_the_data_of_a_job_that_fails_ends_with_its_failure(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        future = await client.submit("raise", b"no milk")
        with pytest.raises(JobException, match="no milk"):
            [chunk async for chunk in future.data()]
        assert isinstance(await future.exception(), JobException)

    full.play(shell, scenario)


@both_shells
def test_callbacks_are_called_in_order_and_may_use_the_client_and_the_set(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        log: list[Any] = []
        tasks = task_set_of(client)
        task: Task = tasks.add(Task("chatty", b"x"))
        task.on_created(lambda task: log.append(task.handle))
        task.on_data(lambda task, data: log.append(data))
        task.on_status(lambda task, numerator, denominator: log.append((numerator, denominator)))
        task.on_warning(lambda task, warning: log.append(warning))

        @task.on_complete
        def completed(task: Task, result: bytes) -> None:
            log.append(result)
            tasks.add(Task("reverse", b"ab", on_complete=lambda task, result: log.append(result)))

        assert await tasks.wait(timeout=30)
        assert log == [task.handle, (1, 2), b"a", b"b", b"w", (2, 2), b"x", b"ba"]
        assert len(tasks.tasks) == 2

    full.play(shell, scenario)


@both_shells
def test_an_exception_in_a_callback_comes_out_and_the_rest_can_go_on(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        log: list[bytes] = []
        tasks = task_set_of(client)
        tasks.add(Task("reverse", b"ab", on_complete=lambda task, result: 1 // 0))
        for number in range(10):
            tasks.add(Task("reverse", str(number), on_complete=lambda task, result: log.append(result)))
        with pytest.raises(ZeroDivisionError):
            await tasks.wait(timeout=30)
        assert await tasks.wait(timeout=30)
        assert sorted(log) == [b"%d" % number for number in range(10)]

    full.play(shell, scenario)


@both_shells
def test_a_set_says_whether_all_succeeded_and_each_task_why_not(stage: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        tasks = task_set_of(client)
        good, bad = tasks.add(Task("reverse", b"ab")), tasks.add(Task("fail", retry_count=1))
        assert not await tasks.wait(timeout=30)
        assert (good.state, good.result, good.failure) == (TaskState.SUCCEEDED, b"ba", None)
        assert (bad.state, bad.result, bad.retries) == (TaskState.FAILED, None, 1)
        assert isinstance(bad.failure, JobFailed)
        assert good.submitted_at <= good.created_at <= good.finished_at
        assert abs(good.finished_at - time.time()) < 60
        with pytest.raises(ValueError, match="added before"):
            tasks.add(good)

    stage.play(shell, scenario)


@both_shells
def test_a_prefix_goes_before_every_function(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        assert await client.run("reverse", b"ab") == b"ba"

    with worker(full.host, full.port, prefix="test\t") as prefixed:
        full.play(shell, scenario, prefix="test")
        assert prefixed.done == 1


@both_shells
def test_a_background_job_is_known_until_it_is_done(stage: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        handle = await client.background("nobody", b"x")
        assert await client.status(handle) == JobStatus(known=True, running=False)
        handle = await client.background("reverse", b"x")
        deadline = time.monotonic() + 10
        while (await client.status(handle)).known:
            assert time.monotonic() < deadline
        assert await client.status(handle) == JobStatus(known=False, running=False)
        with pytest.raises(ValueError, match="handle or a unique"):
            await client.status()

    stage.play(shell, scenario)


@both_shells
def test_a_job_is_found_by_its_unique(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        unique = f"u {shell}"
        for _ in range(2):
            await client.submit("nobody", b"x", unique=unique)
        await client.echo(b"both were taken in")
        assert await client.status(unique=unique) == JobStatus(True, False, clients=2)
        assert not (await client.status(unique="none")).known

    full.play(shell, scenario)


@both_shells
def test_tasks_that_coalesce_all_get_the_result(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        def keep(log: list[bytes], task: Task, data: bytes) -> None:
            log.append(data)

        logs: list[list[bytes]] = [[] for _ in range(5)]
        tasks = task_set_of(client)
        full.worker.held.clear()
        full.worker.release.clear()
        blocker = await client.submit("hold")
        wait_until_held = asyncio.create_task(asyncio.to_thread(full.worker.held.wait, 10))
        await blocker.created(timeout=10)
        for log in logs:
            task = tasks.add(Task("chatty", b"same", unique="-"))
            task.on_data(partial(keep, log))
        await tasks.wait(timeout=0.3)
        await wait_until_held
        full.worker.release.set()
        assert await tasks.wait(timeout=30)
        assert logs == [[b"a", b"b"]] * 5
        assert {task.result for task in tasks.tasks} == {b"same"}
        assert len({task.handle for task in tasks.tasks}) == 1

    full.play(shell, scenario)


@both_shells
def test_what_takes_too_long_is_given_up_and_the_connection_goes_on(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        with pytest.raises(WaitTimeoutError):
            await client.run("nobody", timeout=0.1)
        future = await client.submit("nobody")
        with pytest.raises(WaitTimeoutError):
            await future.result(timeout=0.1)
        with pytest.raises(WaitTimeoutError):
            await future.exception(timeout=0.1)
        assert not future.done()
        limited = await client.submit("nobody", timeout=0.1)
        with pytest.raises(WaitTimeoutError):
            await limited.result()
        assert limited.task.state is TaskState.TIMED_OUT
        tasks = task_set_of(client)
        one, other = tasks.add(Task("nobody")), tasks.add(Task("nobody", timeout=0.1))
        assert not await tasks.wait(timeout=0.5)
        assert (one.state, other.state) == (TaskState.CREATED, TaskState.TIMED_OUT)
        assert await client.run("reverse", b"ab") == b"ba"

    full.play(shell, scenario)


@both_shells
def test_a_future_that_is_cancelled_waits_no_more(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        future = await client.submit("nobody")
        assert future.cancel()
        assert not future.cancel()
        assert future.cancelled()
        assert future.done()
        with pytest.raises(ClosedError):
            await future.result()
        assert await client.run("reverse", b"ab") == b"ba"

    full.play(shell, scenario)


@both_shells
def test_closing_ends_what_waits_and_a_closed_client_does_nothing_more(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        future = await client.submit("nobody")
        await client.close()
        await client.close()
        with pytest.raises(ClosedError):
            await future.result()
        for name in ("run", "submit", "background", "status", "result", "echo", "option"):
            with pytest.raises(ClosedError):
                await getattr(client, name)("x")

    full.play(shell, scenario)


@both_shells
def test_a_full_queue_is_an_error_with_its_code(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        function = f"bounded-{shell}"
        await client.background(function)
        with Admin(full.address) as admin:
            admin.max_queue(function, 1)
        with pytest.raises(ServerError) as caught:
            await client.background(function)
        assert caught.value.code in ("QUEUE_ERROR", "JOB_QUEUE_FULL")
        with pytest.raises(ServerError):
            await client.run(function)
        future = await client.submit(function)
        with pytest.raises(ServerError):
            await future.created()
        assert await client.run("reverse", b"ab") == b"ba"

    full.play(shell, scenario)


@both_shells
def test_a_unique_that_is_too_long_is_refused_by_the_server(full: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        with pytest.raises(ServerError) as caught:
            await client.run("reverse", b"ab", unique="u" * 65)
        assert caught.value.code == "ARGUMENT_TOO_LARGE"
        assert await client.run("reverse", b"ab", unique="u" * 64) == b"ba"

    full.play(shell, scenario)


@both_shells
def test_a_job_that_was_put_off_is_not_done_before_its_time(own: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        await client.background("reverse", b"later", at=time.time() + 3600)
        assert await client.run("reverse", b"ab") == b"ba"
        assert own.worker.done == 1
        await client.background("reverse", b"past", at=time.time() - 1)
        await asyncio.to_thread(wait_until, lambda: own.worker.done == 2, "the job that was due is done")

    own.play(shell, scenario)


@both_shells
def test_a_kept_result_can_be_asked_for_later(own: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        await client.run("geartrain.function.set", b'{"function": "reverse", "keep_results": 60}')
        handle = await client.background("reverse", b"ab")
        assert await client.result(handle, timeout=10) == b"ba"
        assert await client.result(handle) == b"ba"
        with pytest.raises(UnknownJobError, match="H:nowhere:1: no job or kept result has this handle"):
            await client.result("H:nowhere:1")
        waiting = await client.background("nobody")
        with pytest.raises(WaitTimeoutError):
            await client.result(waiting, timeout=0.1)

    own.play(shell, scenario)


@both_shells
def test_a_workload_that_the_server_does_not_take_fails_its_task_and_no_other(shell: str) -> None:
    async def scenario() -> None:
        with (
            RunningServer(ServerOptions(port=0, limits=Limits(packet=100_000))) as server,
            worker(server.host, server.port),
        ):
            async with client_of(shell, server.address) as client:
                tasks = task_set_of(client)
                good = [tasks.add(Task("reverse", str(number))) for number in range(100)]
                bad = tasks.add(Task("reverse", b"x" * 100_001))
                good += [tasks.add(Task("reverse", str(number))) for number in range(100)]
                assert not await tasks.wait(timeout=30)
                assert bad.state is TaskState.FAILED
                assert {task.state for task in good} == {TaskState.SUCCEEDED}

    asyncio.run(scenario())


@both_shells
def test_a_unix_socket_and_ipv6_are_addresses_too(shell: str, tmp_path: Any) -> None:
    async def scenario() -> None:
        path = f"unix:{tmp_path}/socket"
        with RunningServer(ServerOptions(port=0, listen=("127.0.0.1", path, "::1"))) as server:
            ipv6 = next(str(address) for address in server.server.addresses if ":" in address.host)
            for address in (path, ipv6):
                async with client_of(shell, address) as client:
                    assert await client.echo(b"x") == b"x"

    asyncio.run(scenario())


@both_shells
def test_a_name_that_can_be_none_and_certificates_that_are_none_are_reasons_like_others(
    own: Stage, shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text("none")
    monkeypatch.setenv("GEARTRAIN_TLS_CA", str(tmp_path / "ca.pem"))

    async def scenario() -> None:
        async with client_of(shell, ["a..b:4730", f"tls:{own.address}"]) as client:
            began = time.monotonic()
            with pytest.raises(NoServersError, match=r"ca\.pem"):
                await client.run("reverse", b"ab")
            assert time.monotonic() - began < 4  # and not when the time to connect is over
        async with client_of(shell, ["a..b:4730", own.address]) as client:
            assert await client.echo(b"x") == b"x"

    asyncio.run(scenario())
