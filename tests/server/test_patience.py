"""A grab that follows a job is answered with the next one, or NO_JOB a moment later."""

from __future__ import annotations

import pytest

from geartrain.server import server as module
from tests.harness.rawwire import Packet, RawPeer

from .running import RunningServer


def _do_a_job(client: RawPeer, worker: RawPeer) -> None:
    """The worker does a job and grabs the next one at once."""
    handle = client.submit("f", b"first")
    worker.can_do("f")
    worker.send(Packet.GRAB_JOB)
    worker.expect(Packet.JOB_ASSIGN, handle, "f", b"first")
    worker.send(Packet.WORK_COMPLETE, handle, b"done")
    worker.send(Packet.GRAB_JOB)
    client.expect(Packet.WORK_COMPLETE, handle, b"done")


def test_a_grab_is_answered_no_job_when_nothing_comes_and_the_next_one_at_once() -> None:
    with RunningServer() as running, running.connect() as client, running.connect() as worker:
        _do_a_job(client, worker)
        worker.expect(Packet.NO_JOB)
        worker.send(Packet.GRAB_JOB)
        worker.expect(Packet.NO_JOB)
        assert not running.ask(lambda server: server.broker.grabs_wait)
        # And again, so that the interval begins anew.
        _do_a_job(client, worker)
        worker.expect(Packet.NO_JOB)


def test_a_job_that_comes_while_a_grab_waits_is_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRAB_PATIENCE", 3600.0)
    with RunningServer() as running, running.connect() as client, running.connect() as worker:
        _do_a_job(client, worker)
        handle = client.submit("f", b"second")
        worker.expect(Packet.JOB_ASSIGN, handle, "f", b"second")
