"""geartrain function, dead, schedule and result: what a job server is told, and what it tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from geartrain.errors import NoServersError
from tests.harness.processes import free_port
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, gearmand_c, geartrain

from .command import run_here as run
from .command import start


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JobServer]:
    with geartrain("--journal", f"sqlite:{tmp_path}/journal.db") as server:
        yield server


def test_settings_of_a_function_are_set_shown_and_taken_back(tmp_path: Path) -> None:
    journal = ("--journal", f"sqlite:{tmp_path}/journal.db", "--set", "keep_results=60s")
    with geartrain(*journal) as server:
        done = run(
            *("function", "set", "report", "--max-attempts", "5", "--backoff", "exponential 1s 10m"),
            *("--timeout", "30s", "--max-queue", "10000", "--concurrency", "20", "--rate", "100/s"),
            server=server,
        )
        assert done.out == (
            "report: max-attempts 5, timeout 30s, max-queue 10000, concurrency 20, keep-results 60s, "
            "rate 100/s, backoff exponential 1s 600s\n"
        )
    with geartrain(*journal) as server:
        row = run("function", "list", server=server).out
        assert row.startswith("report\t0\t0\t0\t0\t0\tmax-attempts 5, timeout 30s")
        assert run("function", "reset", "report", server=server).out == "report: keep-results 60s\n"
        wrong = run("function", "set", "report", "--rate", "often", server=server)
        assert wrong.code == 2
        assert "--rate: expected one such as '100/s'" in wrong.err
        wrong = run("function", "set", "report", "--timeout", "30x", server=server)
        assert (wrong.code, wrong.out) == (2, "")
        assert "--timeout: expected a time such as '30s' or '10m', got '30x'" in wrong.err
        assert run("function", "set", "report", server=server).code == 2


def test_dead_jobs_are_listed_shown_queued_again_and_dropped(server: JobServer) -> None:
    assert run("function", "set", "f", "--max-attempts", "1", "--retry", "fail", server=server).code == 0
    handles = [run("submit", "f", word, "--background", server=server).out.strip() for word in ("one", "two")]
    with server.connect() as worker:
        worker.can_do("f")
        for _ in handles:
            worker.send(Packet.WORK_FAIL, worker.grab().handle)
        worker.sync()
    rows = [line.split("\t") for line in run("dead", "list", server=server).out.splitlines()]
    assert [row[0] for row in rows] == handles
    assert [(row[1], row[2], row[4]) for row in rows] == [("f", "1", "fail")] * 2
    shown = run("dead", "show", handles[0], server=server).out
    assert "fail" in shown
    assert "one" in shown
    assert run("dead", "show", handles[1], "--workload", server=server).out == "two"
    assert run("dead", "requeue", handles[0], server=server).out == "1 queued again\n"
    assert run("dead", "drop", "--function", "f", server=server).out == "1 dropped\n"
    assert json.loads(run("dead", "list", "--json", server=server).out) == []
    assert run("dead", "show", handles[1], server=server).code == 1
    nothing = run("dead", "drop", server=server)
    assert (nothing.code, nothing.err) == (2, "geartrain: name handles, or give --function or --all\n")
    with server.connect() as worker:
        worker.can_do("f")
        assert worker.grab().workload == b"one"


def test_of_several_handles_those_that_are_dead_are_changed_and_the_others_named(server: JobServer) -> None:
    assert run("function", "set", "f", "--max-attempts", "1", "--retry", "fail", server=server).code == 0
    handle = run("submit", "f", "--background", server=server).out.strip()
    with server.connect() as worker:
        worker.can_do("f")
        worker.send(Packet.WORK_FAIL, worker.grab().handle)
        worker.sync()
    gone = f"127.0.0.1:{free_port()}"
    servers = ("--server", gone, "--server", server.address)
    code, out, err = run("dead", "requeue", "nope", "nor this", *servers)
    assert (code, out) == (3, "")
    assert "nor this: no dead job has this handle" in err
    code, out, err = run("dead", "drop", "nope", handle, "\udcff", server=server)
    assert (code, out) == (1, "1 dropped\n")
    assert "nope: no dead job has this handle" in err
    assert "\\udcff: no dead job has this handle" in err
    assert run("dead", "requeue", handle, server=server)[:2] == (1, "")
    wrong = run("dead", "requeue", "--function", "f", "--all", server=server)
    assert wrong.code == 2
    assert "only one of them" in wrong.err


def test_a_function_of_which_only_settings_are_known_has_zeros(server: JobServer) -> None:
    assert run("function", "set", "report", "--max-queue", "5", server=server).code == 0
    (row,) = json.loads(run("function", "list", "--json", server=server).out)
    assert row == {
        "server": server.address,
        "function": "report",
        "settings": {"max_queue": 5},
        **dict.fromkeys(("total", "waiting", "running", "delayed", "dead", "workers", "expired"), 0),
    }


def test_schedules_are_added_listed_paused_resumed_and_removed(server: JobServer) -> None:
    add = (
        "schedule",
        "add",
        "nightly",
        "--cron",
        "0 3 * * *",
        "--tz",
        "Europe/Berlin",
        "--function",
        "report",
    )
    assert run(*add, "--workload", "-", stdin="all", server=server).out.startswith("nightly: runs next at ")
    assert "already" in run(*add, server=server).err
    row = run("schedule", "list", server=server).out.split("\t")
    assert row[:6] == ["nightly", "active", "0 3 * * *", "Europe/Berlin", "report", ""]
    assert run("schedule", "pause", "nightly", server=server).out == "nightly: paused\n"
    assert json.loads(run("schedule", "list", "--json", server=server).out)[0]["state"] == "paused"
    assert run("schedule", "resume", "nightly", server=server).out.startswith("nightly: runs next at ")
    assert run("schedule", "remove", "nightly", server=server).out == "nightly: removed\n"
    gone = run("schedule", "pause", "nightly", server=server)
    assert gone.code == 1
    assert "there is no schedule 'nightly'" in gone.err
    wrong = run("schedule", "add", "x", "--cron", "99 * * * *", "--function", "f", server=server)
    assert wrong.code == 2
    assert "--cron: '99 * * * *': bad minute; the fields are minute 0-59" in wrong.err
    nowhere = ("--cron", "* * * * *", "--function", "f", "--tz", "Nowhere/Land")
    wrong = run("schedule", "add", "x", *nowhere, server=server)
    assert wrong.code == 2
    assert "--tz: 'Nowhere/Land' is no time zone" in wrong.err


def test_the_result_of_a_background_job_can_be_fetched_and_waited_for(server: JobServer) -> None:
    assert run("function", "set", "f", "--keep-results", "1h", server=server).code == 0
    handle = run("submit", "f", "hello", "--background", server=server).out.strip()
    early = run("result", handle, server=server)
    assert early.code == 1
    assert "it is queued, and --wait waits" in early.err
    with start("result", handle, "--wait", server=server) as waiting, server.connect() as worker:
        worker.can_do("f")
        job = worker.grab()
        worker.send(Packet.WORK_STATUS, job.handle, "3", "4")
        worker.complete(job.handle, "result")
        assert waiting.wait() == 0
        assert waiting.stdout == "result"
    assert run("result", handle, server=server).out == "result"
    shown = json.loads(run("result", handle, "--json", server=server).out)
    assert (shown["data"], shown["numerator"], shown["denominator"], shown["attempts"]) == ("result", 3, 4, 1)
    other = run("submit", "g", "--background", server=server).out.strip()
    late = run("result", other, "--wait", "--timeout", "200ms", server=server)
    assert (late.code, late.err) == (5, f"geartrain: {other}: no result within 0.2 s\n")
    wrong = run("result", other, "--wait", "--timeout", "soon", server=server)
    assert wrong.code == 2
    unknown = run("result", "H:nobody:1", "--wait", server=server)
    assert unknown.code == 1
    assert "no job or kept result" in unknown.err


def test_a_server_that_is_lost_while_its_result_is_waited_for_is_named(
    server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = run("submit", "f", "--background", server=server).out.strip()

    def lose(*_: object, **__: object) -> bytes:
        raise NoServersError({server.address: "the server closed the connection"})

    monkeypatch.setattr("geartrain.client.Client.result", lose)
    lost = run("result", handle, "--wait", server=server)
    assert lost.code == 3
    assert f"{server.address} was lost while {handle} was waited for (the server closed" in lost.err


def test_whoever_waits_for_a_job_that_dies_is_told_where_its_attempts_are(server: JobServer) -> None:
    assert run("function", "set", "f", "--max-attempts", "1", "--retry", "fail", server=server).code == 0
    handle = run("submit", "f", "--background", server=server).out.strip()
    with start("result", handle, "--wait", server=server) as waiting, server.connect() as worker:
        worker.can_do("f")
        worker.send(Packet.WORK_FAIL, worker.grab().handle)
        assert waiting.wait() == 1
        assert f"geartrain dead show {handle}" in waiting.stderr


def test_a_server_that_is_not_ours_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geartrain.cli.asking.PATIENCE", 0.2)
    from geartrain.cli.asking import ask_one
    from geartrain.errors import WaitTimeoutError

    with gearmand_c() as server, pytest.raises(WaitTimeoutError, match="is it geartrain's server"):
        ask_one(server.address, "dead.list", {})
