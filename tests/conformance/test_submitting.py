"""Submissions of every form: their answers, their order, and what of them reaches a worker."""

from __future__ import annotations

import pytest

from tests.harness.rawwire import Packet, RawPeer

FOREGROUND = [Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_HIGH, Packet.SUBMIT_JOB_LOW]
BACKGROUND = [Packet.SUBMIT_JOB_BG, Packet.SUBMIT_JOB_HIGH_BG, Packet.SUBMIT_JOB_LOW_BG]
FORMS = FOREGROUND + BACKGROUND
MEGABYTE = 1024 * 1024


def _name(value: object) -> str | None:
    return value.name if isinstance(value, Packet) else None


@pytest.mark.parametrize("form", FORMS, ids=_name)
def test_a_submission_is_answered_with_its_handle(client: RawPeer, function: str, form: Packet) -> None:
    handle = client.submit(function, b"workload", unique="unique", type=form)
    assert handle.startswith(b"H:")
    assert len(handle) < 64
    assert handle.rpartition(b":")[2].isdigit()
    client.expect_nothing()


@pytest.mark.parametrize("form", FORMS, ids=_name)
def test_a_worker_grabs_what_was_submitted(
    client: RawPeer, worker: RawPeer, function: str, form: Packet
) -> None:
    handle = client.submit(function, b"work\0load", type=form)
    worker.can_do(function)
    worker.send(Packet.GRAB_JOB)
    worker.expect(Packet.JOB_ASSIGN, handle, function, b"work\0load")
    worker.grab_nothing()


@pytest.mark.parametrize("form", FOREGROUND, ids=_name)
def test_a_foreground_client_gets_the_result(
    client: RawPeer, worker: RawPeer, function: str, form: Packet
) -> None:
    handle = client.submit(function, b"workload", type=form)
    worker.can_do(function)
    worker.complete(worker.grab().handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    client.expect_nothing()


@pytest.mark.parametrize("form", BACKGROUND, ids=_name)
def test_a_background_client_gets_nothing_more(
    client: RawPeer, worker: RawPeer, function: str, form: Packet
) -> None:
    handle = client.submit(function, b"workload", type=form)
    worker.can_do(function)
    assert worker.grab().handle == handle
    worker.send(Packet.WORK_STATUS, handle, 1, 2)
    worker.complete(handle, b"result")
    client.expect_nothing()


def test_every_job_has_a_handle_of_its_own(client: RawPeer, function: str) -> None:
    forms = [Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_HIGH, Packet.SUBMIT_JOB_BG]
    handles = [client.submit(function, type=form) for form in forms * 10]
    assert len(set(handles)) == len(handles)


def test_jobs_of_one_priority_are_grabbed_in_the_order_they_came(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    handles = [client.submit(function, number) for number in range(20)]
    worker.can_do(function)
    assert [worker.grab().handle for _ in handles] == handles
    worker.grab_nothing()


@pytest.mark.parametrize("forms", [FOREGROUND, BACKGROUND], ids=["foreground", "background"])
def test_a_higher_priority_is_grabbed_first(
    client: RawPeer, worker: RawPeer, function: str, forms: list[Packet]
) -> None:
    normal, high, low = forms
    for form in (low, normal, high, low, normal, high):
        client.submit(function, form.name, type=form)
    worker.can_do(function)
    order = [worker.grab().workload.decode() for _ in range(6)]
    assert order == [form.name for form in (high, high, normal, normal, low, low)]


def test_foreground_and_background_jobs_share_a_queue(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    forms = [Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_BG, Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_BG]
    handles = [client.submit(function, type=form) for form in forms]
    worker.can_do(function)
    assert [worker.grab().handle for _ in handles] == handles


# Workloads, uniques and names of every size


@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0", id="NUL"),
        pytest.param(b"\0one\0\0two\0", id="NULs"),
        pytest.param(bytes(range(256)), id="all-bytes"),
        pytest.param(bytes(range(256)) * (MEGABYTE // 256), id="1-MB"),
        pytest.param(bytes(range(256)) * (16 * MEGABYTE // 256), id="16-MB"),
    ],
)
def test_workload_and_result_pass_unchanged(
    client: RawPeer, worker: RawPeer, function: str, workload: bytes
) -> None:
    handle = client.submit(function, workload)
    worker.can_do(function)
    job = worker.grab()
    assert job.workload == workload
    worker.send(Packet.WORK_COMPLETE, job.handle, workload)
    client.expect(Packet.WORK_COMPLETE, handle, workload)


def test_a_unique_of_64_bytes_is_taken(client: RawPeer, worker: RawPeer, function: str) -> None:
    unique = "u" * 64
    handle = client.submit(function, unique=unique)
    assert client.submit(function, unique=unique) == handle
    worker.can_do(function)
    assert worker.grab().handle == handle
    worker.grab_nothing()


@pytest.mark.parametrize("form", FORMS, ids=_name)
def test_a_unique_of_more_than_64_bytes_is_refused(
    client: RawPeer, worker: RawPeer, function: str, form: Packet
) -> None:
    client.send(form, function, "u" * 65, b"workload")
    client.expect(Packet.ERROR, "ARGUMENT_TOO_LARGE", "Unique value too large")
    worker.can_do(function)
    worker.grab_nothing()
    client.expect_nothing()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("prefix\t", id="tab"),
        pytest.param("with a space", id="space"),
        pytest.param("größe-", id="UTF-8"),
        pytest.param("x" * 300, id="300-bytes"),
    ],
)
def test_a_function_may_have_any_name(client: RawPeer, worker: RawPeer, function: str, name: str) -> None:
    handle = client.submit(name + function, b"workload")
    worker.can_do(name + function)
    worker.send(Packet.GRAB_JOB)
    worker.expect(Packet.JOB_ASSIGN, handle, name + function, b"workload")


def test_functions_differ_by_case(client: RawPeer, worker: RawPeer, function: str) -> None:
    client.submit(function)
    worker.can_do(function.upper())
    worker.grab_nothing()
