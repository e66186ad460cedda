"""Map-reduce jobs: a job that carries the name of its reducer to the worker."""

from __future__ import annotations

import pytest

from tests.harness.rawwire import Packet, RawPeer

REDUCE = [Packet.SUBMIT_REDUCE_JOB, Packet.SUBMIT_REDUCE_JOB_BACKGROUND]

each_form = pytest.mark.parametrize("form", REDUCE, ids=lambda packet: packet.name)


def _submit_reduce(client: RawPeer, form: Packet, function: str, unique: str = "unique") -> bytes:
    client.send(form, function, unique, "reducer", "0", b"work\0load")
    return client.expect(Packet.JOB_CREATED)[0]


@each_form
def test_grab_job_all_assigns_the_reducer(
    client: RawPeer, worker: RawPeer, function: str, form: Packet
) -> None:
    handle = _submit_reduce(client, form, function)
    worker.can_do(function)
    worker.send(Packet.GRAB_JOB_ALL)
    worker.expect(Packet.JOB_ASSIGN_ALL, handle, function, "unique", "reducer", b"work\0load")


@each_form
def test_the_other_grabs_assign_without_the_reducer(
    client: RawPeer, worker: RawPeer, function: str, form: Packet
) -> None:
    first = _submit_reduce(client, form, function, "one")
    second = _submit_reduce(client, form, function, "two")
    worker.can_do(function)
    worker.send(Packet.GRAB_JOB)
    worker.expect(Packet.JOB_ASSIGN, first, function, b"work\0load")
    worker.send(Packet.GRAB_JOB_UNIQ)
    worker.expect(Packet.JOB_ASSIGN_UNIQ, second, function, "two", b"work\0load")


def test_a_reduce_job_in_the_foreground_reports_to_its_client(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = _submit_reduce(client, Packet.SUBMIT_REDUCE_JOB, function)
    worker.can_do(function)
    worker.grab()
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")


def test_a_reduce_job_in_the_background_reports_to_nobody(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = _submit_reduce(client, Packet.SUBMIT_REDUCE_JOB_BACKGROUND, function)
    worker.can_do(function)
    worker.grab()
    worker.complete(handle, b"result")
    client.expect_nothing()


@each_form
def test_reduce_jobs_coalesce(client: RawPeer, function: str, form: Packet) -> None:
    handle = _submit_reduce(client, form, function)
    assert _submit_reduce(client, form, function) == handle
    assert _submit_reduce(client, form, function, "other") != handle
