"""What each capability promises, tried with three that work together."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Final

from tests.harness.processes import wait_until

from .capabilities import Capability, Peer, gap, limit
from .stage import PATIENCE, Client, Event, Gate, Job, Trio, unfinished, wait_for_unfinished

MEGABYTE: Final = 1024 * 1024

Check = Callable[[Trio], None]

CHECKS: Final[dict[Capability, Check]] = {}


def promises(capability: Capability) -> Callable[[Check], Check]:
    """Make a function the check of a capability."""

    def register(check: Check) -> Check:
        CHECKS[capability] = check
        return check

    return register


@promises(Capability.FOREGROUND)
def the_client_gets_the_result(trio: Trio) -> None:
    assert trio.run("reverse", b"Hello") == [Event("complete", b"olleH".hex())]


@promises(Capability.HIGH)
def a_high_job_overtakes(trio: Trio) -> None:
    _overtake(trio, ["foreground", "high", "foreground"], "high")


@promises(Capability.LOW)
def a_low_job_is_overtaken(trio: Trio) -> None:
    _overtake(trio, ["low", "foreground", "low"], "foreground")


@promises(Capability.HIGH_BACKGROUND)
def a_high_background_job_overtakes(trio: Trio) -> None:
    _overtake(trio, ["background", "high-background", "background"], "high-background")


@promises(Capability.LOW_BACKGROUND)
def a_low_background_job_is_overtaken(trio: Trio) -> None:
    _overtake(trio, ["low-background", "background", "low-background"], "background")


def _overtake(trio: Trio, modes: list[str], winner: str) -> None:
    """Queue jobs of these modes while the worker is busy: the one of the winner's mode runs first."""
    gate = Gate(trio.folder)
    gates = trio.function("gate")
    trio.block(gate)
    client = trio.start(*(Job(gates, gate.workload(mode), mode) for mode in modes))
    wait_for_unfinished(trio.server, gates, 1 + len(modes))
    gate.open()
    client.finish()
    wait_for_unfinished(trio.server, gates, 0)
    others = [mode for mode in modes if mode != winner]
    assert gate.started == ["first", winner, *others]


@promises(Capability.BACKGROUND)
def the_client_may_go_before_the_job_is_done(trio: Trio) -> None:
    gate = Gate(trio.folder)
    gates = trio.function("gate")
    events = trio.start(Job(gates, gate.workload("job"), "background")).finish()
    gate.wait_for(1)
    assert unfinished(trio.server, gates) == 1
    gate.open()
    wait_for_unfinished(trio.server, gates, 0)
    assert gate.started == ["job"]
    assert events == []


@promises(Capability.COALESCING)
def two_clients_share_a_job(trio: Trio) -> None:
    gate = Gate(trio.folder)
    gates = trio.function("gate")
    unique = f"unique-{trio.row.id}"
    first = trio.start(Job(gates, gate.workload("job"), unique=unique))
    gate.wait_for(1)
    second = trio.start(Job(gates, gate.workload("job"), unique=unique))
    if trio.row.client is Peer.TOOL:
        # It keeps the handle to itself, so the server is asked.
        with trio.server.connect() as asker:
            wait_until(lambda: asker.status_unique(unique).clients == b"2", "both wait for the job", PATIENCE)
    else:
        wait_until(second.handle, "the second client has a handle", PATIENCE)
        assert second.handle() == first.handle()
    gate.open()
    assert _answer(first) == b"done"
    assert _answer(second) == b"done"
    assert gate.started == ["job"]


@promises(Capability.STATUS)
def the_client_is_told_the_status(trio: Trio) -> None:
    gate = Gate(trio.folder)
    gate.open()
    *told, end = trio.run("progress", gate.workload("job"))
    assert [event.name for event in told] == ["status", "status"]
    assert [_fraction(event) for event in told] == [0.5, 1.0]
    assert end == Event("complete", b"done".hex())


@promises(Capability.POLLING)
def the_client_asks_for_the_status(trio: Trio) -> None:
    gate = Gate(trio.folder)
    function, progress = "progress", "1 2"
    if gap(trio.row, Capability.STATUS):
        function, progress = "gate", "0 0"
    running = Event("polled", f"1 1 {progress}")
    client = trio.start(Job(trio.function(function), gate.workload("job"), "poll"))
    client.process.wait_until(
        lambda: running in client.events(), "the client knows that the job runs", PATIENCE
    )
    gate.open()
    assert client.finish()[-1] == Event("polled", "0 0 0 0")


@promises(Capability.DATA)
def the_client_gets_data_as_it_comes(trio: Trio) -> None:
    lines = [b"one\n", b"two\n", b"three\n"]
    *told, end = trio.run("chunks", b"".join(lines))
    if trio.row.client is Peer.TOOL:
        # It prints data and result alike.
        assert told == []
        assert end.data.removesuffix(b"done") == b"".join(lines)
    else:
        if trio.row.worker is Peer.TOOL:
            # With each line it sends again what came before.
            lines = list(itertools.accumulate(lines))
        assert told == [Event("data", line.hex()) for line in lines]
        assert end.name == "complete"


@promises(Capability.WARNING)
def the_client_gets_the_warning(trio: Trio) -> None:
    assert trio.run("warn", b"careful") == [
        Event("warning", b"careful".hex()),
        Event("complete", b"done".hex()),
    ]


@promises(Capability.EXCEPTION)
def the_client_gets_the_exception(trio: Trio) -> None:
    assert trio.run("raise", b"boom") == [Event("exception", b"boom".hex())]


@promises(Capability.FAIL)
def the_client_is_told_that_the_job_failed(trio: Trio) -> None:
    assert trio.run("fail", b"x") == [Event("fail")]


@promises(Capability.BINARY)
def every_byte_arrives(trio: Trio) -> None:
    workload = bytes(range(256)) * 2
    assert trio.run("reverse", workload) == [Event("complete", workload[::-1].hex())]


@promises(Capability.LARGE)
def a_large_workload_arrives(trio: Trio) -> None:
    size = MEGABYTE if limit(trio.row, Capability.LARGE) else 16 * MEGABYTE
    workload = os.urandom(1024) * (size // 1024)
    (end,) = trio.run("reverse", workload)
    assert end.name == "complete"
    assert end.data == workload[::-1]


@promises(Capability.EMPTY)
def an_empty_workload_arrives(trio: Trio) -> None:
    assert trio.run("reverse", b"") == [Event("complete", "")]


@promises(Capability.DEATH)
def another_worker_does_the_job_of_one_that_died(trio: Trio) -> None:
    prefix = f"mortal-{trio.row.id}."
    first = trio.fresh_worker(prefix)
    client = trio.start(Job(f"{prefix}die", os.fsencode(trio.folder / "died")))
    first.wait(PATIENCE)
    assert client.events() == []
    trio.fresh_worker(prefix)
    assert _answer(client) == b"survived"


def _answer(client: Client) -> bytes:
    """The result of a client's only job, about which nothing else was told."""
    (end,) = client.finish()
    assert end.name == "complete"
    return end.data


def _fraction(status: Event) -> float:
    numerator, denominator = status.text.split()
    return int(numerator) / int(denominator)
