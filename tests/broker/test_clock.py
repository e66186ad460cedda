"""A clock that is set back or forward, through the time arguments."""

from __future__ import annotations

from geartrain.broker import Broker, Peer
from geartrain.wire import packets as p


def _broker() -> tuple[Broker, Peer]:
    broker = Broker("h", 1, now=0.0, wall=1_000_000.0)
    peer = Peer()
    broker.connect(peer)
    return broker, peer


def _type(peer: Peer) -> int:
    """The type of the last packet that a peer was sent."""
    last: bytes = peer.outbox[-1]
    return last[7]


def test_a_delayed_job_keeps_its_date_when_the_clock_is_set_back() -> None:
    broker, peer = _broker()
    broker.receive(peer, p.SUBMIT_JOB_EPOCH, b"f\0\x001000060\0w")
    broker.receive(peer, p.CAN_DO, b"f")
    broker.receive(peer, p.PRE_SLEEP, b"")
    for now, wall in ((10.0, 996_400.0), (3_600.0, 1_000_000.0), (3_659.0, 1_000_059.0)):
        broker.tick(now, wall)
        assert _type(peer) == p.JOB_CREATED
    broker.tick(3_661.0, 1_000_061.0)
    assert _type(peer) == p.NOOP


def test_a_time_out_does_not_care_about_the_date() -> None:
    broker, peer = _broker()
    broker.receive(peer, p.SUBMIT_JOB_BG, b"f\0\0w")
    broker.receive(peer, p.CAN_DO_TIMEOUT, b"f\x0010000")
    broker.receive(peer, p.GRAB_JOB, b"")
    (job,) = broker.jobs.by_handle.values()
    for now, wall in ((3.0, 0.0), (6.0, 2_000_000.0), (9.0, 1_000_000.0)):
        broker.tick(now, wall)
        assert job.worker is peer
    broker.tick(10.1, 0.0)
    assert job.worker is None
    assert job.queued


def test_a_rate_does_not_care_about_the_date() -> None:
    broker, peer = _broker()
    broker.receive(peer, p.SUBMIT_JOB, b'geartrain.function.set\0\0{"function": "f", "rate": "1/s"}')
    for _ in range(3):
        broker.receive(peer, p.SUBMIT_JOB_BG, b"f\0\0w")
    broker.receive(peer, p.CAN_DO, b"f")
    broker.receive(peer, p.GRAB_JOB, b"")
    assert _type(peer) == p.JOB_ASSIGN
    broker.tick(0.5, 2_000_000.0)
    broker.receive(peer, p.GRAB_JOB, b"")
    assert _type(peer) == p.NO_JOB
    broker.tick(1.6, 0.0)
    broker.receive(peer, p.GRAB_JOB, b"")
    assert _type(peer) == p.JOB_ASSIGN
