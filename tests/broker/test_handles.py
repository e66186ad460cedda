"""Jobs are found by their handles, and nothing stays of those that are gone."""

from __future__ import annotations

import random

from geartrain.broker.handles import Handles
from geartrain.broker.policy import Policy
from geartrain.broker.state import NORMAL, Function, Job

PREFIX = b"H:host:"
FIRST = 1_790_000_000_000_000
FUNCTION = Function(b"f", Policy())


def make_job(handles: Handles, number: int) -> Job:
    return Job(number, handles.handle(number), FUNCTION, b"", b"w", NORMAL, True)


def test_handles_act_like_a_dict_whatever_comes_and_goes() -> None:
    chance = random.Random(7)
    handles = Handles(PREFIX, FIRST)
    expected: dict[bytes, Job] = {}
    for _ in range(20_000):
        if chance.random() < 0.52 or not expected:
            # Mostly the next number; now and then one of an earlier run, as after a replay.
            number = handles.next_number() if chance.random() < 0.9 else chance.randrange(1, 5000)
            job = make_job(handles, number)
            if job.handle not in expected:
                expected[job.handle] = job
                handles.add(job)
        else:
            # Young and old ones end, so that pages run empty at both ends.
            chosen = list(expected)[chance.choice((0, -1, chance.randrange(len(expected))))]
            handles.remove(expected.pop(chosen))
        assert len(handles) == len(expected)
    assert {job.handle: job for job in handles.values()} == expected
    for handle, job in expected.items():
        assert handles.get(handle) is job
        assert handle in handles
    for job in list(expected.values()):
        handles.remove(job)
    assert len(handles) == 0
    assert list(handles.values()) == []


def test_only_the_exact_handle_finds_its_job() -> None:
    handles = Handles(PREFIX, FIRST)
    job = make_job(handles, handles.next_number())
    handles.add(job)
    digits = b"%d" % FIRST
    assert handles.get(PREFIX + digits) is job
    for stranger in (
        b"",
        PREFIX,
        digits,
        PREFIX + b"0" + digits,
        PREFIX + b"+" + digits,
        PREFIX + digits + b" ",
        PREFIX + digits + b"\0",
        b"H:other:" + digits,
        b"h:host:" + digits,
        PREFIX + b"9" * 5000,
    ):
        assert handles.get(stranger) is None, stranger


def test_numbers_go_on_after_those_of_an_earlier_run() -> None:
    handles = Handles(PREFIX, 5)
    handles.skip(9)
    handles.skip(3)
    assert handles.next_number() == 10
    created = handles.created(handles.handle(10))
    assert created == b"\0RES\0\0\0\x08\0\0\0\x09H:host:10"
    assert handles.created(handles.handle(7)) == b"\0RES\0\0\0\x08\0\0\0\x08H:host:7"
