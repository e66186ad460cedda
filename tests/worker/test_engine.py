"""What a worker says on one connection, without a connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from geartrain import Job
from geartrain.errors import ProtocolError
from geartrain.worker.engine.engine import ASLEEP, AWAKE, GRABBING, Assignment, WorkerEngine
from geartrain.worker.functions import Function
from tests.harness.rawwire import REQ, RES, Argument, Packet, encode

GRABS = [Packet.GRAB_JOB_ALL, Packet.GRAB_JOB_UNIQ, Packet.GRAB_JOB]


def function(name: str, timeout: float | None = None) -> Function:
    def handler(job: Job) -> None:
        pass

    return Function(name, handler, timeout)


ADD = {b"add": function("add")}


def cut(data: bytes) -> Iterator[tuple[Packet, bytes]]:
    """The requests that bytes consist of."""
    while data:
        size = int.from_bytes(data[8:12], "big")
        assert data[:4] == REQ
        assert len(data) >= 12 + size
        yield Packet(int.from_bytes(data[4:8], "big")), data[12 : 12 + size]
        data = data[12 + size :]


def types(data: bytes) -> list[Packet]:
    return [type for type, _ in cut(data)]


def answer(type: int, *args: Argument) -> bytes:
    return encode(type, *args, magic=RES)


ASSIGN = answer(Packet.JOB_ASSIGN_UNIQ, "H:1", "add", "u", "2+3")
ASSIGN_2 = answer(Packet.JOB_ASSIGN_UNIQ, "H:2", "add", "u", "2+3")
NO_JOB = answer(Packet.NO_JOB)
NOT_FOUND = answer(Packet.ERROR, "JOB_NOT_FOUND", "no such job")
NOOP = answer(Packet.NOOP)


@pytest.fixture
def engine() -> WorkerEngine:
    """An engine that has just connected and announced `add`."""
    engine = WorkerEngine("server:4730", b"me")
    engine.connected(ADD)
    return engine


def take_reply(engine: WorkerEngine) -> bytes:
    reply, engine.reply = engine.reply, b""
    return reply


def fields(job: Assignment | None) -> tuple[bytes, ...]:
    assert job is not None
    return job.handle, job.function, job.unique, job.reducer, job.workload


def test_a_new_connection_begins_asleep_and_asks_for_a_sign_of_life() -> None:
    engine = WorkerEngine("server:4730", b"me")
    greeting = engine.connected({b"add": function("add"), b"slow": function("slow", 1.2345)})
    assert list(cut(greeting)) == [
        (Packet.SET_CLIENT_ID, b"me"),
        (Packet.CAN_DO, b"add"),
        (Packet.CAN_DO_TIMEOUT, b"slow\x001235"),
        (Packet.ECHO_REQ, b"geartrain"),
        (Packet.PRE_SLEEP, b""),
    ]
    assert engine.state == ASLEEP


def test_a_wake_up_a_grab_and_a_job(engine: WorkerEngine) -> None:
    assert engine.receive(NOOP) is None
    assert engine.state == AWAKE
    assert types(engine.grab()) == [Packet.GRAB_JOB_ALL]
    assert engine.state == GRABBING
    assert fields(engine.receive(ASSIGN)) == (b"H:1", b"add", b"u", b"", b"2+3")
    assert engine.state == AWAKE
    assert engine.running == {b"H:1"}
    assert engine.ended(b"H:1")
    assert engine.running == set()


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (answer(Packet.JOB_ASSIGN, "H:1", "add", "a\0b"), (b"H:1", b"add", b"", b"", b"a\0b")),
        (answer(Packet.JOB_ASSIGN_UNIQ, "H:1", "add", "u", "a\0b"), (b"H:1", b"add", b"u", b"", b"a\0b")),
        (answer(Packet.JOB_ASSIGN_ALL, "H:1", "add", "u", "r", "\0"), (b"H:1", b"add", b"u", b"r", b"\0")),
    ],
)
def test_every_form_of_assignment_is_a_job(
    engine: WorkerEngine, packet: bytes, expected: tuple[bytes, ...]
) -> None:
    engine.grab()
    for byte in packet[:-1]:
        assert engine.receive(bytes([byte])) is None
    assert fields(engine.receive(packet[-1:])) == expected


def test_no_job_sends_the_worker_to_sleep(engine: WorkerEngine) -> None:
    engine.grab()
    assert engine.receive(NO_JOB) is None
    assert types(take_reply(engine)) == [Packet.PRE_SLEEP]
    assert engine.state == ASLEEP


def test_a_wake_up_that_comes_while_grabbing_or_working_changes_nothing(engine: WorkerEngine) -> None:
    engine.grab()
    engine.receive(NOOP)
    assert engine.state == GRABBING
    engine.receive(ASSIGN)
    engine.receive(NOOP)
    assert (engine.state, engine.reply) == (AWAKE, b"")


@pytest.mark.parametrize("code", ["INVALID_COMMAND", "server_error"])
def test_a_server_that_knows_less_is_asked_for_less_on_this_connection(
    engine: WorkerEngine, code: str
) -> None:
    engine.grab()
    engine.receive(answer(Packet.ERROR, code, "what?"))
    assert types(take_reply(engine)) == [Packet.GRAB_JOB_UNIQ]
    engine.receive(answer(Packet.ERROR, code, "what?"))
    assert types(take_reply(engine)) == [Packet.GRAB_JOB]
    engine.receive(NO_JOB)
    take_reply(engine)
    assert types(engine.grab()) == [Packet.GRAB_JOB]
    engine.connected(ADD)
    assert types(engine.grab()) == [Packet.GRAB_JOB_ALL]


def test_an_error_about_something_else_does_not_change_the_grab(engine: WorkerEngine) -> None:
    engine.grab()
    engine.receive(answer(Packet.ERROR, "QUOTA", "too many functions"))
    assert engine.reply == b""
    engine.receive(NO_JOB)
    take_reply(engine)
    engine.grab()
    engine.receive(answer(Packet.ERROR, "INVALID_COMMAND", "but it was known before"))
    assert engine.reply == b""


def test_while_jobs_wait_the_next_grab_goes_out_with_the_end_of_a_job(engine: WorkerEngine) -> None:
    engine.grab()
    for _ in range(20):
        engine.receive(ASSIGN)
        engine.ended(b"H:1")
        assert types(engine.follow()) == [Packet.GRAB_JOB_ALL]
        assert engine.state == GRABBING


def test_jobs_that_come_one_at_a_time_are_followed_by_sleep(engine: WorkerEngine) -> None:
    expected = asides(0, 1, 2, 4, 8, 16, 16)
    assert follow_lone_jobs(engine, len(expected)) == expected
    # Another server may answer grabs otherwise.
    engine.connected(ADD)
    assert follow_lone_jobs(engine, 6) == asides(0, 1, 2)


def test_a_grab_ahead_that_brings_a_job_has_the_next_ones_go_out_at_once(engine: WorkerEngine) -> None:
    assert follow_lone_jobs(engine, 10) == [*asides(0, 1, 2), *[Packet.PRE_SLEEP] * 4]
    assert next_lone_job(engine) == Packet.GRAB_JOB_ALL
    for _ in range(3):
        engine.receive(ASSIGN)
        engine.ended(b"H:1")
        assert types(engine.follow()) == [Packet.GRAB_JOB_ALL]
    engine.receive(NO_JOB)
    take_reply(engine)
    assert follow_lone_jobs(engine, 5) == asides(1, 2)


def test_the_next_job_is_near_behind_a_job_until_a_grab_was_in_vain(engine: WorkerEngine) -> None:
    near = [engine.next_job_is_near]
    assert next_lone_job(engine) == Packet.GRAB_JOB_ALL
    near.append(engine.next_job_is_near)
    engine.receive(NO_JOB)
    take_reply(engine)
    assert next_lone_job(engine) == Packet.PRE_SLEEP
    assert next_lone_job(engine) == Packet.GRAB_JOB_ALL
    near.append(engine.next_job_is_near)
    engine.receive(ASSIGN)
    engine.ended(b"H:1")
    engine.follow()
    near.append(engine.next_job_is_near)
    assert near == [False, True, False, True]


def asides(*counts: int) -> list[Packet]:
    """Grabs, with so many jobs before each that end without."""
    return [sent for count in counts for sent in [Packet.PRE_SLEEP] * count + [Packet.GRAB_JOB_ALL]]


def next_lone_job(engine: WorkerEngine) -> Packet:
    """A sleeper is woken for a job and does it; returns what follows its end."""
    engine.receive(NOOP)
    engine.grab()
    engine.receive(ASSIGN)
    engine.ended(b"H:1")
    (sent,) = types(engine.follow())
    return sent


def follow_lone_jobs(engine: WorkerEngine, count: int) -> list[Packet]:
    """Jobs that come one at a time; returns what followed the end of each."""
    followed_by = []
    for _ in range(count):
        followed_by.append(next_lone_job(engine))
        if engine.state == GRABBING:
            engine.receive(NO_JOB)
            take_reply(engine)
        assert engine.state == ASLEEP
    return followed_by


def test_a_changed_table_of_functions_is_told_by_its_differences(engine: WorkerEngine) -> None:
    engine.grab()
    engine.receive(ASSIGN)
    changed = {b"add": function("add", 5), b"sub": function("sub")}
    assert list(cut(engine.announce(changed))) == [
        (Packet.CAN_DO_TIMEOUT, b"add\x005000"),
        (Packet.CAN_DO, b"sub"),
    ]
    assert list(cut(engine.announce({b"sub": changed[b"sub"]}))) == [(Packet.CANT_DO, b"add")]
    assert engine.announce({b"sub": function("sub")}) == b""


def test_a_sleeper_asks_anew_when_its_functions_change(engine: WorkerEngine) -> None:
    assert types(engine.announce({**ADD, b"sub": function("sub")})) == [Packet.CAN_DO, Packet.PRE_SLEEP]


def test_a_job_that_the_server_took_away_is_not_ours_and_its_end_is_told_all_the_same(
    engine: WorkerEngine,
) -> None:
    engine.grab()
    engine.receive(ASSIGN)
    engine.receive(NOT_FOUND)
    assert engine.revoked == {b"H:1"}
    assert engine.ended(b"H:1")
    assert not engine.revoked


def test_the_end_of_a_job_is_told_once(engine: WorkerEngine) -> None:
    engine.grab()
    engine.receive(ASSIGN)
    assert engine.ended(b"H:1")
    assert not engine.ended(b"H:1")


def two_in_hand(engine: WorkerEngine) -> None:
    """Jobs H:1 and H:2 run on this connection."""
    for packet in (ASSIGN, ASSIGN_2):
        engine.grab()
        engine.receive(packet)


def test_an_error_about_an_end_is_not_taken_for_the_other_job_in_hand(engine: WorkerEngine) -> None:
    two_in_hand(engine)
    engine.receive(NOT_FOUND)  # of which of them is it?
    assert engine.ended(b"H:1")
    engine.receive(NOT_FOUND)
    assert not engine.revoked
    assert engine.ended(b"H:2")


def test_an_error_behind_the_answer_to_a_probe_is_about_the_job_in_hand(engine: WorkerEngine) -> None:
    two_in_hand(engine)
    engine.ended(b"H:1")
    engine.receive(NOT_FOUND)
    ((type, probe),) = cut(take_reply(engine))
    assert type == Packet.ECHO_REQ
    engine.receive(answer(Packet.ECHO_RES, "geartrain") + NOT_FOUND)
    assert not engine.revoked
    engine.receive(answer(Packet.ECHO_RES, probe) + NOT_FOUND)
    assert engine.revoked == {b"H:2"}


def test_an_error_behind_the_answer_to_a_grab_is_about_the_job_in_hand(engine: WorkerEngine) -> None:
    two_in_hand(engine)
    engine.grab()
    engine.ended(b"H:1")
    engine.receive(NO_JOB + NOT_FOUND)  # the end was sent behind the grab
    assert not engine.revoked
    engine.receive(NOOP)
    engine.grab()
    engine.receive(NO_JOB + NOT_FOUND)
    assert engine.revoked == {b"H:2"}


def test_a_job_that_was_taken_away_says_nothing_of_those_that_come(engine: WorkerEngine) -> None:
    engine.grab()
    engine.receive(ASSIGN + NOT_FOUND)
    engine.grab()
    engine.receive(ASSIGN_2)
    assert engine.revoked == {b"H:1"}
    engine.grab()
    engine.receive(ASSIGN)  # it was given to us anew
    assert not engine.revoked


def test_an_error_about_the_last_job_is_not_taken_for_the_next_one(engine: WorkerEngine) -> None:
    engine.grab()
    engine.receive(ASSIGN)
    engine.ended(b"H:1")
    engine.follow()
    engine.receive(NOT_FOUND + ASSIGN_2)
    assert not engine.revoked
    engine.receive(NOT_FOUND)
    assert engine.revoked == {b"H:2"}


@pytest.mark.parametrize(
    "packet",
    [
        ASSIGN,
        answer(Packet.JOB_CREATED, "H:1"),
        answer(Packet.JOB_ASSIGN, "H:1"),
        b"\0REQ" + bytes(8),
        b"HTTP/1.1 400\r\n",
    ],
    ids=["a job nobody asked for", "a client's packet", "too few arguments", "a request", "text"],
)
def test_what_no_job_server_sends_is_an_error(engine: WorkerEngine, packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        engine.receive(packet)


def test_nothing_of_a_broken_connection_is_left_on_the_next(engine: WorkerEngine) -> None:
    engine.grab()
    engine.receive(ASSIGN)
    engine.receive(ASSIGN[:20])
    assert types(engine.connected(ADD)) == [
        Packet.SET_CLIENT_ID,
        Packet.CAN_DO,
        Packet.ECHO_REQ,
        Packet.PRE_SLEEP,
    ]
    assert (engine.state, engine.running, engine.reply) == (ASLEEP, set(), b"")
    engine.receive(NOOP)
    assert engine.state == AWAKE
