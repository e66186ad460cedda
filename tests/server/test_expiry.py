"""Jobs that nobody waits for any more, and jobs that expire, are not run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geartrain import AsyncClient, Client, JobException, JobFailed, Task, TaskSet, WaitTimeoutError
from tests.cli.command import run_here as run
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import SERVERS, JobServer, gearmand_c, geartrain


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JobServer]:
    with geartrain("--journal", f"sqlite:{tmp_path}/journal.db", "--set", "keep_results=60s") as server:
        yield server


def numbers(server: JobServer, function: str = "f") -> dict[str, Any]:
    rows = json.loads(run("function", "list", "--json", server=server).out)
    return next((row for row in rows if row["function"] == function), {"total": 0, "expired": 0})


def status(peer: RawPeer) -> list[bytes]:
    peer.send_text("status")
    return peer.recv_lines()


def echo(client: Client) -> None:
    """Have the client take in all that the server has said until now."""
    with pytest.raises(JobException):
        client.run("geartrain.schedule.remove", b"{}")


def test_a_job_whose_caller_timed_out_is_withdrawn_while_the_client_stays(server: JobServer) -> None:
    with Client(server.address) as client:
        for _ in range(3):
            with pytest.raises(WaitTimeoutError):
                client.run("f", b"old", timeout=0.05)
        wait_until(lambda: numbers(server)["total"] == 0, "the jobs are withdrawn")
        echo(client)
        assert not client._engine.links[0].jobs
        # What is shared with others stays.
        waited = client.submit("f", b"new", unique="u")
        with pytest.raises(WaitTimeoutError):
            client.run("f", b"new", unique="u", timeout=0.05)
        echo(client)
        assert numbers(server)["total"] == 1
        with server.connect() as worker:
            worker.can_do("f")
            worker.complete(worker.grab().handle, "done")
        assert waited.result(10) == b"done"


def test_a_cancelled_future_and_the_tasks_of_a_set_are_withdrawn(server: JobServer) -> None:
    with Client(server.address) as client:
        future = client.submit("f", b"x")
        wait_until(lambda: numbers(server)["total"] == 1, "the job is queued")
        assert future.cancel()
        wait_until(lambda: numbers(server)["total"] == 0, "the job is withdrawn")
        tasks = TaskSet(client)
        for _ in range(5):
            tasks.add(Task("f", timeout=0.05))
        tasks.wait()
        wait_until(lambda: numbers(server)["total"] == 0, "the jobs are withdrawn")


def test_a_cancelled_call_of_an_asynchronous_client_is_withdrawn(server: JobServer) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            call = asyncio.create_task(client.run("f", b"x"))
            await asyncio.to_thread(wait_until, lambda: numbers(server)["total"], "the job is queued")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            with pytest.raises(WaitTimeoutError):
                await client.run("f", b"y", timeout=0.05)
            await asyncio.to_thread(
                wait_until, lambda: not numbers(server)["total"], "the jobs are withdrawn"
            )

    asyncio.run(asyncio.wait_for(main(), 30))


def test_nobody_withdraws_the_job_of_another(server: JobServer) -> None:
    with server.connect() as owner, server.connect() as other:
        handle = owner.submit("f", "x")
        other.send(Packet.OPTION_REQ, b"withdraw=" + handle)
        other.expect(Packet.OPTION_RES, "withdraw")
        assert numbers(server)["total"] == 1
        owner.send(Packet.OPTION_REQ, b"withdraw=" + handle)
        owner.expect(Packet.OPTION_RES, "withdraw")
        assert numbers(server)["total"] == 0


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_a_client_goes_on_after_time_outs_on_every_server(kind: str) -> None:
    with SERVERS[kind]() as server, Client(server.address) as client:
        for _ in range(3):
            with pytest.raises(WaitTimeoutError):
                client.run("nobody", b"x", timeout=0.1)
        with server.connect() as worker:
            worker.can_do("f")
            future = client.submit("f", b"x", expires=30)
            wait_until(lambda: b"f\t1\t0\t1" in status(worker), "the job is queued")
            worker.complete(worker.grab().handle, "done")
            assert future.result(10) == b"done"


def test_an_expired_job_ends_as_expired_and_is_counted(server: JobServer) -> None:
    with Client(server.address) as client:
        handle = client.background("f", b"old", expires=0.2)
        with pytest.raises((JobException, JobFailed)):
            client.run("f", b"old", expires=0.2, timeout=10)
        wait_until(lambda: numbers(server)["expired"] == 2, "both have expired")
        (outcome,) = json.loads(f"[{client.run('geartrain.outcome', handle.encode()).decode()}]")
        assert outcome["state"] == "expired"
        assert outcome["data"] == "expired: no worker took the job within 0.2 s"
        # The hint held for one submission alone.
        client.background("f", b"new")
        time.sleep(0.4)
        assert numbers(server)["total"] == 1


def test_a_job_that_runs_does_not_expire(server: JobServer) -> None:
    with Client(server.address) as client, server.connect() as worker:
        worker.can_do("f")
        future = client.submit("f", b"x", expires=0.5)
        wait_until(lambda: b"f\t1\t0\t1" in status(worker), "the job is queued")
        job = worker.grab()
        time.sleep(0.8)
        worker.complete(job.handle, "late")
        assert future.result(10) == b"late"


def test_a_function_s_max_age_holds_for_clients_in_any_language(server: JobServer) -> None:
    assert run("function", "set", "f", "--max-age", "200ms", server=server).code == 0
    with server.connect() as client:
        client.send(Packet.OPTION_REQ, "exceptions")
        client.expect(Packet.OPTION_RES)
        handle = client.submit("f", "x")
        client.expect(Packet.WORK_EXCEPTION, handle, "expired: no worker took the job within 0.2 s")


def test_an_expiry_holds_over_a_kill(tmp_path: Path) -> None:
    journal = ("--journal", f"sqlite:{tmp_path}/journal.db")
    with geartrain(*journal) as server:
        with Client(server.address) as client:
            client.background("f", b"short", expires=1)
            client.background("f", b"long", expires=3600)
        server.process.kill()
    time.sleep(1)
    with geartrain(*journal) as server, server.connect() as worker:
        wait_until(lambda: numbers(server)["total"] == 1, "one has expired")
        worker.can_do("f")
        assert worker.grab().workload == b"long"


def test_a_submission_that_joins_a_job_prolongs_it(server: JobServer) -> None:
    with Client(server.address) as client:
        client.background("f", b"x", unique="u", expires=0.2)
        client.background("f", b"x", unique="u")
        time.sleep(0.5)
        assert numbers(server)["total"] == 1


@pytest.mark.parametrize("expires", [0, -1, float("nan"), float("inf")])
def test_an_expiry_that_is_none_is_refused(expires: float) -> None:
    with pytest.raises(ValueError, match="expires is above 0"):
        Task("f", expires=expires)


def test_the_command_line_submits_jobs_that_expire(server: JobServer) -> None:
    done = run("submit", "f", "x", "--expires", "0.1", "--timeout", "10", server=server)
    assert done.code != 0
    assert "expired" in done.err


# Rates and pauses over a restart


def test_a_rate_holds_over_a_kill(tmp_path: Path) -> None:
    journal = ("--journal", f"sqlite:{tmp_path}/journal.db")
    with geartrain(*journal) as server:
        assert run("function", "set", "f", "--rate", "2/h", server=server).code == 0
        with server.connect() as worker:
            worker.can_do("f")
            for _ in range(3):
                worker.submit("f", "x", type=Packet.SUBMIT_JOB_BG)
            worker.complete(worker.grab().handle, "done")
            worker.grab_nothing()
        wait_until(
            lambda: b'"pace"' in run("journal", "export", f"{tmp_path}/journal.db").out.encode(),
            "it is noted",
        )
        server.process.kill()
    with geartrain(*journal) as server, server.connect() as worker:
        worker.can_do("f")
        worker.grab_nothing()
        assert numbers(server)["waiting"] == 2


def test_a_paused_function_takes_jobs_and_hands_out_none_over_a_kill(tmp_path: Path) -> None:
    journal = ("--journal", f"sqlite:{tmp_path}/journal.db")
    with geartrain(*journal) as server:
        assert run("function", "pause", "f", server=server).out == "f: paused\n"
        assert run("submit", "f", "x", "--background", server=server).code == 0
        assert "paused true" in run("function", "list", server=server).out
        with server.connect() as worker:
            worker.can_do("f")
            worker.grab_nothing()
        server.process.kill()
    with geartrain(*journal) as server, server.connect() as worker:
        worker.can_do("f")
        worker.grab_nothing()
        worker.send(Packet.PRE_SLEEP)
        assert run("function", "resume", "f", server=server).out == "f: goes on\n"
        worker.expect(Packet.NOOP)
        assert worker.grab().workload == b"x"


# Emptying queues


def test_a_queue_is_emptied_in_slices(server: JobServer) -> None:
    with server.connect() as client:
        for number in range(2500):
            client.send(Packet.SUBMIT_JOB_BG, "f", f"user-{number % 10}-{number}", "x")
        for _ in range(2500):
            client.expect(Packet.JOB_CREATED, ...)
        client.send(Packet.SUBMIT_JOB_BG, "g", "", "x")
        client.expect(Packet.JOB_CREATED, ...)
        client.send(Packet.SUBMIT_JOB_EPOCH, "f", "", "99999999999", "x")
        client.expect(Packet.JOB_CREATED, ...)
    assert run("admin", "cancel", "--unique", "user-7-*", "--yes", server=server).out == "250 cancelled\n"
    asked = run("admin", "cancel", "--function", "f", server=server, stdin="n\n")
    assert asked.code != 0
    assert "Cancel 2,250 jobs?" in asked.out + asked.err
    assert numbers(server)["waiting"] == 2250
    assert run("admin", "cancel", "--function", "f", "--yes", server=server).out == "2250 cancelled\n"
    assert run("admin", "cancel", "-f", "f", "--state", "delayed", server=server).out == "1 cancelled\n"
    assert numbers(server)["total"] == 0
    assert numbers(server, "g")["total"] == 1
    assert run("admin", "cancel", server=server).code == 2


def test_running_jobs_are_cancelled_if_all_are(server: JobServer) -> None:
    with Client(server.address) as client, server.connect() as worker:
        worker.can_do("f")
        future = client.submit("f", b"x")
        wait_until(lambda: b"f\t1\t0\t1" in status(worker), "the job is queued")
        job = worker.grab()
        assert run("admin", "cancel", "--function", "f", server=server).out == "0 cancelled\n"
        assert (
            run("admin", "cancel", "--function", "f", "--state", "all", server=server).out == "1 cancelled\n"
        )
        with pytest.raises(JobFailed):
            future.result(10)
        worker.complete(job.handle, "too late")


def test_many_handles_are_cancelled_on_gearmand_too() -> None:
    with gearmand_c() as server:
        handles = [run("submit", "f", str(n), "--background", server=server).out.strip() for n in range(2)]
        done = run("admin", "cancel", *handles, "H:x:1", server=server)
        assert "2 cancelled" in done.out
        assert "no job has the handle H:x:1" in done.err
