"""The text protocol, line by line and to the byte."""

from __future__ import annotations

import re

import pytest

from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import JobServer

from .text import ask, ask_list, function_status, worker_line

# status and workers


def test_status_counts_jobs_and_workers(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    for form in (Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_HIGH, Packet.SUBMIT_JOB_BG):
        client.submit(function, type=form)
    assert function_status(client, function) == (3, 0, 1)
    job = worker.grab()
    assert function_status(client, function) == (3, 1, 1)
    worker.complete(job.handle)
    client.expect(Packet.WORK_COMPLETE, job.handle, b"")
    assert function_status(client, function) == (2, 0, 1)


def test_status_is_lines_of_four_fields_and_a_dot(client: RawPeer, function: str) -> None:
    client.submit(function)
    client.send_text("status")
    while (line := client.recv_line()) != b".\n":
        assert re.fullmatch(rb"[^\n]+\t\d+\t\d+\t\d+\n", line), line
    client.expect_nothing()


def test_status_names_a_function_with_a_tab(client: RawPeer, function: str) -> None:
    client.submit(f"prefix\t{function}")
    assert function_status(client, f"prefix\t{function}") == (1, 0, 0)


def test_status_of_one_function_is_its_line_alone(client: RawPeer, function: str) -> None:
    client.submit(function)
    client.submit(f"{function}\twith a tab")
    for name in (function, f"{function}\twith a tab"):
        client.send_text(f"status {name}")
        assert client.recv_lines() == [f"{name}\t1\t0\t0".encode()]


def test_status_may_be_asked_between_packets(client: RawPeer, function: str) -> None:
    client.submit(function)
    client.send_text(f"status {function}")
    client.send(Packet.ECHO_REQ, "after")
    assert f"{function}\t1\t0\t0".encode() in client.recv_lines()
    client.expect(Packet.ECHO_RES, "after")


def test_workers_shows_descriptor_address_id_and_functions(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    worker.send(Packet.SET_CLIENT_ID, "the-id")
    worker.can_do(function)
    assert re.fullmatch(rf"\d+ 127\.0\.0\.1 the-id : {function}", worker_line(client, function))


def test_workers_lists_plain_clients_too(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.send(Packet.SET_CLIENT_ID, function)
    worker.sync()
    client.send_text("workers")
    lines = []
    while (line := client.recv_line()) != b".\n":
        lines.append(line)
    own = [line for line in lines if function.encode() in line]
    assert len(own) == 1
    assert re.fullmatch(rf"\d+ 127\.0\.0\.1 {function} :\n".encode(), own[0]), own


# Small questions


def test_version_is_ok_and_the_version(client: RawPeer) -> None:
    assert re.fullmatch(rb"OK \d+\.\d+\S*\n", ask(client, "version"))


def test_getpid_is_ok_and_the_process(client: RawPeer, server: JobServer) -> None:
    assert ask(client, "getpid") == b"OK %d\n" % server.process.pid


@pytest.mark.parametrize("line", ["VERSION", "Version", "vErSiOn"])
def test_words_may_be_in_any_case(client: RawPeer, line: str) -> None:
    assert ask(client, line) == ask(client, "version")


@pytest.mark.parametrize("line", ["STATUS", "Workers"])
def test_words_of_lists_may_be_in_any_case(client: RawPeer, line: str) -> None:
    client.sync()
    assert ask_list(client, line) == ask_list(client, line.lower())


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_line_may_end_in_lf_or_crlf(client: RawPeer, worker: RawPeer, function: str, end: bytes) -> None:
    worker.can_do(function)
    assert ask(client, "version", end) == ask(client, "version")
    assert f"{function}\t0\t0\t1".encode() in ask_list(client, "status", end)


def test_an_unknown_word_is_named_in_the_answer(client: RawPeer) -> None:
    assert ask(client, "bogus") == b"ERR UNKNOWN_COMMAND Unknown+server+commandbogus\r\n"
    assert ask(client, "bogus with more") == b"ERR UNKNOWN_COMMAND Unknown+server+commandbogus\r\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_an_empty_line_is_an_unknown_word(client: RawPeer, end: bytes) -> None:
    assert ask(client, "", end) == b"ERR UNKNOWN_COMMAND Unknown+server+command\r\n"


def test_several_lines_in_one_write_are_answered_in_order(client: RawPeer) -> None:
    client.send_bytes(b"version\nbogus\r\nversion\nstatus\n")
    version = client.recv_line()
    assert client.recv_line().startswith(b"ERR ")
    assert client.recv_line() == version
    client.recv_lines()
    client.expect_nothing()


def test_a_line_may_come_byte_by_byte(client: RawPeer) -> None:
    version = ask(client, "version")
    for byte in b"version\r\n":
        client.send_bytes(bytes([byte]))
    assert client.recv_line() == version
    client.expect_nothing()


# maxqueue


def _set(client: RawPeer, line: str) -> None:
    """Send a line that is answered by an OK."""
    assert ask(client, line).rstrip() == b"OK"


def test_maxqueue_is_acknowledged_in_a_line_that_ends_in_crlf(client: RawPeer, function: str) -> None:
    assert ask(client, f"maxqueue {function} 2") == b"OK\r\n"


def _fill(client: RawPeer, function: str, form: Packet, expected: int) -> None:
    """Submit until the queue is full, which has to be after `expected` jobs."""
    for number in range(expected):
        client.submit(function, number, type=form)
    client.send(form, function, "", b"one too many")
    client.expect(Packet.ERROR, "QUEUE_ERROR", "Job queue is full")
    client.expect_nothing()


def test_maxqueue_limits_the_jobs_of_a_function(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    _set(client, f"maxqueue {function} 2")
    _fill(client, function, Packet.SUBMIT_JOB, 2)
    # The running one counts until it has ended.
    job = worker.grab()
    _fill(client, function, Packet.SUBMIT_JOB_BG, 0)
    worker.complete(job.handle)
    client.expect(Packet.WORK_COMPLETE)
    _fill(client, function, Packet.SUBMIT_JOB, 1)


def test_maxqueue_limits_each_priority(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    _set(client, f"maxqueue {function} 3 2 1")
    _fill(client, function, Packet.SUBMIT_JOB_LOW, 1)
    _fill(client, function, Packet.SUBMIT_JOB, 1)
    _fill(client, function, Packet.SUBMIT_JOB_HIGH, 1)


def test_maxqueue_zero_lifts_the_limit(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    _set(client, f"maxqueue {function} 1")
    _fill(client, function, Packet.SUBMIT_JOB, 1)
    _set(client, f"maxqueue {function} 0")
    for number in range(5):
        client.submit(function, number)


def test_maxqueue_without_a_number_lifts_the_limit(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    _set(client, f"maxqueue {function} 1")
    _set(client, f"maxqueue {function}")
    for number in range(3):
        client.submit(function, number)


def test_maxqueue_lets_a_coalescing_submission_in(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    _set(client, f"maxqueue {function} 1")
    handle = client.submit(function, unique="unique")
    assert client.submit(function, unique="unique") == handle
    client.send(Packet.SUBMIT_JOB, function, "other", b"")
    client.expect(Packet.ERROR, "QUEUE_ERROR", "Job queue is full")


def test_maxqueue_without_a_function_is_incomplete(client: RawPeer) -> None:
    assert ask(client, "maxqueue") == (
        b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+maxqueue\r\n"
    )


def test_shutdown_with_another_word_is_refused(client: RawPeer) -> None:
    assert ask(client, "shutdown tomorrow").startswith(b"ERR ")
