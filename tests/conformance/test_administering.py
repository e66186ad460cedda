"""The text commands that look into the queues and change them, to the byte.

Gearman::Server knows next to none of them, so it does not take part.
"""

from __future__ import annotations

import pytest

from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import JobServer

from .conftest import Connect
from .text import ask, ask_list, function_status


@pytest.fixture(params=["geartrain", "gearmand-c"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of job server that know these commands."""
    return str(request.param)


# prioritystatus


def _priority_status(client: RawPeer, function: str) -> list[bytes]:
    lines = ask_list(client, "prioritystatus")
    (line,) = [line for line in lines if line.startswith(function.encode() + b"\t")]
    return line.split(b"\t")[1:]


def test_prioritystatus_counts_what_waits_by_priority(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    worker.can_do(function)
    for form in (Packet.SUBMIT_JOB_HIGH, Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_BG, Packet.SUBMIT_JOB_LOW):
        client.submit(function, type=form)
    client.send(Packet.SUBMIT_JOB_EPOCH, function, "", 4_000_000_000, b"")
    client.expect(Packet.JOB_CREATED)
    assert _priority_status(client, function) == [b"1", b"3", b"1", b"1"]
    worker.grab()
    assert _priority_status(client, function) == [b"0", b"3", b"1", b"1"]


def test_prioritystatus_may_be_in_any_case(client: RawPeer) -> None:
    assert ask_list(client, "PriorityStatus") == ask_list(client, "prioritystatus")


# show


def test_show_jobs_has_a_line_for_each_job(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    background, foreground = client.submit(function, type=Packet.SUBMIT_JOB_BG), client.submit(function)
    for line in ("show jobs", "SHOW Jobs"):
        lines = ask_list(client, line)
        assert background + b"\t0\t0\t1" in lines
        assert foreground + b"\t0\t0\t0" in lines
    assert worker.grab().handle == background
    assert background + b"\t0\t0\t1" in ask_list(client, "show jobs")


def test_show_jobs_counts_the_returns_to_the_queue(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    losing = connect()
    losing.can_do(function)
    losing.grab()
    losing.leave(worker)
    assert handle + b"\t1\t0\t1" in ask_list(client, "show jobs")


def test_show_unique_jobs_has_a_line_for_each_job(client: RawPeer, function: str) -> None:
    nameless = ask_list(client, "show unique jobs").count(b"")
    client.submit(function, unique=function)
    client.submit(function, type=Packet.SUBMIT_JOB_BG)
    client.submit(function)
    lines = ask_list(client, "Show Unique Jobs")
    assert function.encode() in lines
    assert lines.count(b"") == nameless + 2


@pytest.mark.parametrize("line", ["show everything", "show unique", "show jobs now", "show unique jobs now"])
def test_show_of_something_else_is_refused(client: RawPeer, line: str) -> None:
    assert ask(client, line) == b"ERR UNKNOWN_SHOW_ARGUMENTS\r\n"


def test_show_alone_is_an_unknown_word(client: RawPeer) -> None:
    assert ask(client, "show") == b"ERR UNKNOWN_COMMAND Unknown+server+commandshow\r\n"


# cancel job


def _cancel(peer: RawPeer, handle: bytes) -> None:
    assert ask(peer, b"cancel job " + handle) == b"OK\r\n"


def test_a_cancelled_job_never_runs(client: RawPeer, worker: RawPeer, function: str) -> None:
    cancelled, kept = (client.submit(function, n, type=Packet.SUBMIT_JOB_BG) for n in (1, 2))
    _cancel(client, cancelled)
    worker.can_do(function)
    assert worker.grab().handle == kept
    worker.grab_nothing()


def test_the_client_of_a_cancelled_job_hears_that_it_failed(
    connect: Connect, client: RawPeer, function: str
) -> None:
    handle = client.submit(function)
    assert ask(connect(), b"CANCEL Job " + handle) == b"OK\r\n"
    client.expect(Packet.WORK_FAIL, handle)


def test_a_cancelled_job_is_forgotten(client: RawPeer, function: str) -> None:
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    _cancel(client, handle)
    assert client.status(handle).known == b"0"
    assert function_status(client, function) == (0, 0, 0)


def test_a_unique_is_free_when_its_job_was_cancelled(client: RawPeer, worker: RawPeer, function: str) -> None:
    first = client.submit(function, unique="unique", type=Packet.SUBMIT_JOB_BG)
    _cancel(client, first)
    second = client.submit(function, unique="unique", type=Packet.SUBMIT_JOB_BG)
    assert second != first
    worker.can_do(function)
    assert worker.grab().handle == second


def test_the_worker_of_a_cancelled_job_may_end_it(client: RawPeer, worker: RawPeer, function: str) -> None:
    handle = client.submit(function)
    worker.can_do(function)
    worker.grab()
    _cancel(worker, handle)
    client.expect(Packet.WORK_FAIL, handle)
    assert handle + b"\t0\t1\t0" in ask_list(client, "show jobs")
    worker.complete(handle)
    client.expect_nothing()
    assert function_status(client, function) == (0, 0, 1)


def test_a_cancelled_job_does_not_return_from_a_lost_worker(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    handle = client.submit(function, type=Packet.SUBMIT_JOB_BG)
    losing = connect()
    losing.can_do(function)
    losing.grab()
    _cancel(client, handle)
    losing.leave(client)
    worker.can_do(function)
    worker.grab_nothing()


def test_an_unknown_job_can_not_be_cancelled(client: RawPeer) -> None:
    assert ask(client, "cancel job H:nowhere:1") == b"ERR UNKNOWN_JOB\r\n"


@pytest.mark.parametrize("line", ["cancel", "cancel job"])
def test_cancel_without_a_job_is_an_unknown_word(client: RawPeer, line: str) -> None:
    assert ask(client, line) == b"ERR UNKNOWN_COMMAND Unknown+server+commandcancel\r\n"


@pytest.mark.parametrize("line", ["cancel function f", "cancel job H:a:1 H:b:2"])
def test_cancel_of_something_else_is_refused(client: RawPeer, line: str) -> None:
    assert ask(client, line) == b"ERR UNKNOWN_ERROR\r\n"


# create and drop function


def _create(client: RawPeer, function: str) -> None:
    # The form that every server reads.
    assert ask(client, f"create function {function}", b"\r\n") == b"OK\r\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_created_function_is_in_status(client: RawPeer, function: str, end: bytes) -> None:
    assert ask(client, f"Create FUNCTION {function}", end) == b"OK\r\n"
    assert f"{function}\t0\t0\t0".encode() in ask_list(client, "status")


@pytest.mark.parametrize("word", ["create", "drop"])
@pytest.mark.parametrize("rest", ["", " function", " function two names", " job name"])
def test_create_and_drop_take_one_function(client: RawPeer, word: str, rest: str) -> None:
    assert ask(client, word + rest).decode() == (
        f"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+{word}\r\n"
    )


def test_a_dropped_function_is_gone(client: RawPeer, function: str) -> None:
    _create(client, function)
    assert ask(client, f"Drop Function {function}") == b"OK\r\n"
    assert not any(line.startswith(function.encode()) for line in ask_list(client, "status"))


def test_an_unknown_function_can_not_be_dropped(client: RawPeer, function: str) -> None:
    assert ask(client, f"drop function {function}") == b"ERR function not found\r\n"


def test_a_function_is_dropped_by_its_name_alone(client: RawPeer, function: str) -> None:
    _create(client, function)
    assert ask(client, f"drop function {function.upper()}") == b"ERR function not found\r\n"


def test_a_function_with_a_worker_is_not_dropped(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    assert ask(client, f"drop function {function}") == (
        b"ERR there are still connected workers or executing clients\r\n"
    )
    assert function_status(client, function) == (0, 0, 1)


def test_a_dropped_function_takes_its_jobs_along(own_server: JobServer) -> None:
    with own_server.connect() as client, own_server.connect() as worker, own_server.connect() as admin:
        handle = client.submit("function")
        assert ask(admin, "drop function function") == b"OK\r\n"
        assert ask_list(admin, "show jobs") == []
        client.expect(Packet.WORK_FAIL, handle)
        worker.can_do("function")
        worker.grab_nothing()


# maxqueue


def test_maxqueue_takes_no_negative_limit(client: RawPeer, worker: RawPeer, function: str) -> None:
    worker.can_do(function)
    assert ask(client, f"maxqueue {function} -1") == b"OK\r\n"
    client.submit(function)


def test_maxqueue_with_too_many_limits_takes_the_first_three(
    client: RawPeer, worker: RawPeer, function: str
) -> None:
    worker.can_do(function)
    assert ask(client, f"maxqueue {function} 1 1 1 1") == b"OK\r\n"
    client.submit(function)
    client.send(Packet.SUBMIT_JOB, function, "", b"")
    client.expect(Packet.ERROR, "QUEUE_ERROR", "Job queue is full")


# verbose


def test_verbose_tells_how_much_is_logged(client: RawPeer) -> None:
    levels = (b"FATAL", b"ALERT", b"CRITICAL", b"ERROR", b"WARNING", b"NOTICE", b"INFO", b"DEBUG")
    assert ask(client, "Verbose") in [b"OK " + level + b"\n" for level in levels]


def test_verbose_changes_how_much_is_logged(client: RawPeer) -> None:
    before = ask(client, "verbose").split()[1]
    assert ask(client, "verbose debug") == b"OK DEBUG\n"
    assert ask(client, "verbose") == b"OK DEBUG\n"
    ask(client, b"verbose " + before)


def test_verbose_of_no_level_changes_nothing(client: RawPeer) -> None:
    before = ask(client, "verbose")
    assert ask(client, "verbose loud").startswith(b"ERR INVALID_ARGUMENTS ")
    assert ask(client, "verbose") == before


# Names in lines


def test_a_name_with_a_line_end_fakes_no_line(own_server: JobServer) -> None:
    with own_server.connect() as worker:
        worker.send(Packet.SET_CLIENT_ID, "id\n.\n")
        worker.can_do("function\nfaked\t1\t1\t1")
        assert len(ask_list(worker, "status")) == 1
        assert len(ask_list(worker, "workers")) == 1
