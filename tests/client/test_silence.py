"""How a server that says nothing is noticed, and one that may be silent is left alone. No sockets."""

from __future__ import annotations

from geartrain.client.link import Link
from geartrain.wire import packets as p
from geartrain.wire.codec import response

from .bench import Bench

JOB = (p.SUBMIT_JOB, [b"f", b"", b""])


def silent(bench: Bench) -> Link:
    """A server that has a job and says nothing more."""
    bench.submit()
    link = bench.open()
    bench.sent(link)
    bench.reply(p.JOB_CREATED, b"H:1", link=link)
    return link


def test_a_silent_server_is_asked_for_a_sign_of_life_and_waited_for_if_it_gives_one() -> None:
    bench = Bench()
    silent(bench)
    assert bench.engine.next_time == 115.0
    bench.wait(14.9)
    assert bench.sent() == []
    bench.wait(0.1)
    ((type, _),) = bench.sent()
    assert type == p.ECHO_REQ
    assert bench.engine.next_time == 125.0
    bench.reply(p.ECHO_RES, b"geartrain probe")
    bench.wait(14.9)
    assert bench.sent() == []
    assert bench.take_unwanted() == []


def test_a_server_that_gives_no_sign_of_life_is_left_for_another() -> None:
    bench = Bench("a", "b")
    a = silent(bench)
    bench.wait(15)
    bench.sent()
    bench.wait(9.9)
    assert bench.take_unwanted() == []
    bench.wait(0.2)
    assert bench.take_unwanted() == [a]
    assert a.reason == "no sign of life for 25 s"
    b = bench.open()
    assert bench.sent(b) == [JOB]


def test_a_probe_that_cannot_even_be_written_ends_the_wait_too() -> None:
    bench = Bench("a", "b")
    a = silent(bench)
    bench.wait(15)
    bench.wait(10)
    assert bench.take_unwanted() == [a]


def test_any_byte_is_a_sign_of_life() -> None:
    bench = Bench()
    silent(bench)
    for byte in response(p.WORK_DATA, b"H:1\0slow"):
        bench.wait(10)
        bench.receive(bytes([byte]))
        assert bench.sent() == []
    assert bench.take_unwanted() == []


def test_a_server_that_owes_nothing_may_be_silent_for_ever() -> None:
    bench = Bench()
    silent(bench)
    bench.reply(p.WORK_COMPLETE, b"H:1", b"")
    assert bench.engine.next_time is None
    bench.wait(10_000)
    bench.submit()
    assert bench.sent() == [JOB]
    assert bench.engine.next_time == bench.now + 15


def test_bytes_that_a_full_socket_took_are_a_sign_of_life() -> None:
    bench = Bench()
    link = silent(bench)
    bench.wait(15)
    bench.engine.wrote(link, bench.now)
    bench.wait(14)
    assert bench.take_unwanted() == []
