"""What a peer may do with its wakes without harm."""

from __future__ import annotations

from geartrain.wire import packets as p

from .talk import Stage


def test_a_worker_that_answers_each_wake_with_sleep_leaves_nothing_behind() -> None:
    stage = Stage()
    stage.connect().submit(b"f")
    worker = stage.worker(b"f")
    for _ in range(1000):
        worker.send(p.PRE_SLEEP)
        assert worker.told() == [(p.NOOP, b"")]
    assert len(stage.broker._dispatch._woken) == 1


def test_a_worker_with_many_abilities_takes_them_back_in_any_order() -> None:
    stage = Stage()
    names = [b"f%d" % number for number in range(1000)]
    worker = stage.worker(*names)
    for name in reversed(names[1:]):
        worker.send(p.CANT_DO, name)
    client = stage.connect()
    client.submit(names[-1])
    handle = client.submit(names[0])
    worker.send(p.PRE_SLEEP)
    assert worker.told() == [(p.NOOP, b"")]
    assert worker.grab() == (handle, b"")
    assert worker.grab() is None


def test_a_long_prefix_is_cut_between_characters() -> None:
    stage = Stage(prefix="x" + "\u00e9" * 40)
    handle = stage.connect().submit(b"f")
    assert len(handle) <= 63
    assert handle.decode().rpartition(":")[0].strip("\u00e9") == "x"
