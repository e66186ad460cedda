"""What a worker can do: announced, withdrawn, limited in time; and who it says it is."""

from __future__ import annotations

import time

import pytest

from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer

from .conftest import Connect
from .text import function_status, worker_line


def test_an_announced_function_counts_a_worker(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    worker.can_do(function)
    connect().can_do(function)
    assert function_status(client, function) == (0, 0, 2)


def test_a_function_announced_twice_counts_once(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function, function)
    assert function_status(client, function) == (0, 0, 1)
    worker.send(Packet.CANT_DO, function)
    worker.sync()
    assert function_status(client, function) == (0, 0, 0)


def test_a_withdrawn_function_is_not_grabbed(client: RawPeer, worker: RawPeer, function: str) -> None:
    other = function + "-other"
    worker.can_do(function, other)
    client.submit(function)
    client.submit(other)
    worker.send(Packet.CANT_DO, function)
    assert worker.grab().function.decode() == other
    worker.grab_nothing()
    assert function_status(client, function) == (1, 0, 0)


def test_withdrawing_what_was_never_announced_changes_nothing(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    worker.can_do(function)
    worker.send(Packet.CANT_DO, function + "-other")
    worker.expect_nothing()
    client.submit(function)
    worker.grab()


def test_a_reset_withdraws_everything(client: RawPeer, worker: RawPeer, function: str) -> None:
    other = function + "-other"
    worker.can_do(function, other)
    client.submit(function)
    client.submit(other)
    worker.send(Packet.RESET_ABILITIES)
    worker.grab_nothing()
    assert function_status(client, function) == (1, 0, 0)
    worker.can_do(other)
    assert worker.grab().function.decode() == other


def test_a_running_job_may_end_after_its_function_was_withdrawn(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    worker.send(Packet.RESET_ABILITIES)
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")


def test_a_worker_that_leaves_is_not_counted(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    worker.can_do(function)
    other = connect()
    other.can_do(function)
    other.leave(client)
    assert function_status(client, function) == (0, 0, 1)


# Time-outs


def test_a_function_with_a_time_out_is_grabbed_as_any(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function)
    worker.send(Packet.CAN_DO_TIMEOUT, function, 60_000)
    assert worker.grab().handle == handle
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")


def test_a_time_out_of_zero_is_none(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function)
    worker.send(Packet.CAN_DO_TIMEOUT, function, 0)
    assert worker.grab().handle == handle
    client.expect_nothing()
    worker.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")


@pytest.mark.parametrize("milliseconds", [1000, 30])
def test_a_job_that_takes_too_long_goes_to_another_worker(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str, milliseconds: int
) -> None:
    """The time-out is in milliseconds, and one second at least."""
    handle = client.submit(function)
    worker.send(Packet.CAN_DO_TIMEOUT, function, milliseconds)
    worker.grab()
    other = connect()
    other.can_do(function)
    other.grab_nothing()
    other.send(Packet.PRE_SLEEP)
    started = time.monotonic()
    other.expect(Packet.NOOP, timeout=3)
    assert time.monotonic() - started > 0.8
    assert other.grab().handle == handle
    worker.send(Packet.WORK_COMPLETE, handle, b"too late")
    worker.expect_error("JOB_NOT_FOUND")
    other.complete(handle, b"result")
    client.expect(Packet.WORK_COMPLETE, handle, b"result")
    client.expect_nothing()


def test_a_late_result_is_taken_while_its_job_waits(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function)
    worker.send(Packet.CAN_DO_TIMEOUT, function, 1000)
    worker.grab()
    wait_until(lambda: function_status(client, function) == (1, 0, 1), "its time is over", 5)
    worker.complete(handle, b"late")
    client.expect(Packet.WORK_COMPLETE, handle, b"late")
    worker.grab_nothing()


# Names


def test_a_client_id_shows_in_workers(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    assert worker_line(client, function).endswith(f" - : {function}")
    worker.send(Packet.SET_CLIENT_ID, "id-of-" + function)
    worker.expect_nothing()
    assert worker_line(client, function).endswith(f" 127.0.0.1 id-of-{function} : {function}")


def test_workers_lists_abilities_newest_first(client: RawPeer, worker: RawPeer, function: str) -> None:
    names = [f"{function}-{number}" for number in range(12)]
    worker.can_do(*names)
    assert worker_line(client, names[0]).endswith(" - : " + " ".join(reversed(names)))


def test_all_yours_is_refused(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    worker.send(Packet.ALL_YOURS)
    worker.expect(Packet.ERROR, "INVALID_COMMAND", "Command not expected")
    handle = client.submit(function)
    assert worker.grab().handle == handle
