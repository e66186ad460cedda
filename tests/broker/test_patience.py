"""A grab that follows a job and finds nothing waits a moment for the next one."""

from __future__ import annotations

import pytest

from geartrain.broker import Broker, Peer
from geartrain.broker.limits import Rules
from geartrain.broker.patience import MOST_GRABS
from geartrain.wire import packets as p

from .talk import Told, told

NO_JOB: Told = [(p.NO_JOB, b"")]


class Server:
    """A broker that is patient, and its peers."""

    def __init__(self, *, round_robin: bool = False, patient: bool = True) -> None:
        self.broker = Broker("h", 1, rules=Rules(patient=patient, round_robin=round_robin))
        self.client = self.connect()

    def connect(self) -> Peer:
        peer = Peer()
        self.broker.connect(peer)
        return peer

    def send(self, peer: Peer, type: int, body: bytes = b"") -> Told:
        """Send a packet, and what the peer is told."""
        self.broker.receive(peer, type, body)
        return self.told(peer)

    def told(self, peer: Peer) -> Told:
        return told(self.broker, peer)

    def submit(self, function: bytes = b"f") -> bytes:
        return self.send(self.client, p.SUBMIT_JOB, function + b"\0\0w")[-1][1]

    def patient(self, *functions: bytes, grab: int = p.GRAB_JOB) -> Peer:
        """A worker that did a job of a function of its own, and whose next grab waits."""
        worker = self.connect()
        own = b"own %d" % len(self.broker.peers)
        for function in (own, *(functions or (b"f",))):
            self.send(worker, p.CAN_DO, function)
        handle = self.submit(own)
        assert len(self.send(worker, grab)) == 1
        self.send(worker, p.WORK_COMPLETE, handle + b"\0")
        assert self.send(worker, grab) == []
        self.told(self.client)
        return worker


@pytest.mark.parametrize(
    ("grab", "answer", "body"),
    [
        (p.GRAB_JOB, p.JOB_ASSIGN, b"%b\0f\0w"),
        (p.GRAB_JOB_UNIQ, p.JOB_ASSIGN_UNIQ, b"%b\0f\0\0w"),
        (p.GRAB_JOB_ALL, p.JOB_ASSIGN_UNIQ, b"%b\0f\0\0w"),
    ],
)
def test_a_job_that_comes_meanwhile_answers_the_grab_in_its_form(grab: int, answer: int, body: bytes) -> None:
    server = Server()
    worker = server.patient(grab=grab)
    handle = server.submit()
    assert server.told(worker) == [(answer, body % handle)]
    assert server.broker.answer_grabs() is False
    assert server.told(worker) == []


def test_a_reduce_job_that_comes_meanwhile_has_its_reducer() -> None:
    server = Server()
    worker = server.patient(grab=p.GRAB_JOB_ALL)
    server.send(server.client, p.SUBMIT_REDUCE_JOB, b"f\0u\0r\x000\0w")
    ((type, body),) = server.told(worker)
    assert (type, body.partition(b"\0")[2]) == (p.JOB_ASSIGN_ALL, b"f\0u\0r\0w")


def test_a_grab_waits_for_one_whole_interval_and_is_answered_no_job_once() -> None:
    server = Server()
    worker = server.patient()
    before = server.broker.needs_attention
    server.broker.time_grabs()
    assert (before, server.broker.needs_attention) == (True, False)
    assert server.broker.answer_grabs() is True
    assert server.told(worker) == []
    assert server.broker.answer_grabs() is False
    assert server.told(worker) == NO_JOB
    assert server.broker.answer_grabs() is False
    assert server.told(worker) == []


def test_a_grab_that_follows_one_in_vain_is_answered_at_once() -> None:
    server = Server()
    new = server.connect()
    server.send(new, p.CAN_DO, b"f")
    assert server.send(new, p.GRAB_JOB) == NO_JOB
    worker = server.patient()
    server.broker.answer_grabs()
    server.broker.answer_grabs()
    assert server.told(worker) == NO_JOB
    assert server.send(worker, p.GRAB_JOB) == NO_JOB
    assert not server.broker.grabs_wait


def test_a_broker_that_is_not_told_to_be_patient_answers_at_once() -> None:
    server = Server(patient=False)
    worker = server.connect()
    server.send(worker, p.CAN_DO, b"f")
    server.submit()
    assert len(server.send(worker, p.GRAB_JOB)) == 1
    assert server.send(worker, p.GRAB_JOB) == NO_JOB


@pytest.mark.parametrize(
    ("type", "body", "answers"),
    [
        (p.GRAB_JOB, b"", [p.NO_JOB]),
        (p.PRE_SLEEP, b"", []),
        (p.CANT_DO, b"f", []),
        (p.RESET_ABILITIES, b"", []),
        (p.CAN_DO, b"g", []),
        (p.SET_CLIENT_ID, b"me", []),
        (p.ECHO_REQ, b"hello", [p.ECHO_RES]),
        (p.WORK_COMPLETE, b"h:1\0", [p.ERROR]),
        (p.WORK_STATUS, b"nonsense", [p.ERROR]),
        (p.ALL_YOURS, b"", [p.ERROR]),
    ],
)
def test_no_job_comes_before_the_answer_to_whatever_follows(
    type: int, body: bytes, answers: list[int]
) -> None:
    server = Server()
    worker = server.patient()
    told = server.send(worker, type, body)
    assert [type for type, _ in told] == [p.NO_JOB, *answers]
    server.submit()
    assert server.told(worker) == ([(p.NOOP, b"")] if type == p.PRE_SLEEP else [])


def test_news_of_another_job_leaves_the_grab_waiting() -> None:
    server = Server()
    worker = server.connect()
    server.send(worker, p.CAN_DO, b"f")
    long = server.submit()
    assert len(server.send(worker, p.GRAB_JOB)) == 1
    assert server.send(worker, p.GRAB_JOB) == []
    assert server.send(worker, p.WORK_STATUS, long + b"\x001\x002") == []
    assert server.send(worker, p.WORK_COMPLETE, long + b"\0") == []
    server.told(server.client)
    handle = server.submit()
    assert server.told(worker) == [(p.JOB_ASSIGN, handle + b"\0f\0w")]


def test_the_grab_that_has_waited_longest_and_can_do_the_job_gets_it_and_no_sleeper_is_woken() -> None:
    server = Server()
    sleeper = server.connect()
    server.send(sleeper, p.CAN_DO, b"f")
    server.send(sleeper, p.PRE_SLEEP)
    other = server.patient(b"g")
    for worker in (server.patient(), server.patient(b"g", b"f")):
        handle = server.submit()
        assert server.told(worker) == [(p.JOB_ASSIGN, handle + b"\0f\0w")]
        assert server.told(sleeper) == []
    server.submit()
    assert server.told(sleeper) == [(p.NOOP, b"")]
    assert server.told(other) == []


def test_the_job_of_a_worker_that_is_lost_goes_to_a_grab_that_waits() -> None:
    server = Server()
    lost = server.connect()
    server.send(lost, p.CAN_DO, b"f")
    handle = server.submit()
    server.send(lost, p.GRAB_JOB)
    worker = server.patient()
    server.broker.disconnect(lost)
    assert server.told(worker) == [(p.JOB_ASSIGN, handle + b"\0f\0w")]


def test_a_grab_ends_with_its_connection() -> None:
    server = Server()
    worker = server.patient()
    server.broker.disconnect(worker)
    server.submit()
    assert worker.outbox == []
    assert not server.broker.grabs_wait
    assert len(server.broker.jobs) == 1


def test_a_job_that_its_policy_lets_run_later_goes_to_a_grab_that_waits() -> None:
    server = Server()
    server.broker.configure({"f": {"concurrency": 1}})
    busy, worker = server.patient(), server.patient()
    running = server.submit()
    assert server.told(busy) == [(p.JOB_ASSIGN, running + b"\0f\0w")]
    waiting = server.submit()
    assert server.told(worker) == []
    server.send(busy, p.WORK_COMPLETE, running + b"\0")
    assert server.told(worker) == [(p.JOB_ASSIGN, waiting + b"\0f\0w")]


def test_nothing_is_handed_out_to_a_grab_that_waits_when_the_server_drains() -> None:
    server = Server()
    worker = server.patient()
    server.broker.close(hand_out=False)
    server.broker.submissions.queue(b"f", b"w")
    assert server.told(worker) == []
    server.broker.answer_grabs()
    server.broker.answer_grabs()
    assert server.told(worker) == NO_JOB


def test_round_robin_counts_a_job_that_answers_a_waiting_grab() -> None:
    server = Server(round_robin=True)
    worker = server.patient(b"a", b"b", b"c")
    server.submit(b"b")
    assert len(server.told(worker)) == 1
    for function in (b"b", b"c", b"a"):
        server.submit(function)
    served = [server.send(worker, p.GRAB_JOB)[0][1].split(b"\0")[1] for _ in range(3)]
    assert served == [b"c", b"a", b"b"]


def test_more_grabs_than_may_wait_are_answered_at_once() -> None:
    server = Server()
    for _ in range(MOST_GRABS):
        server.patient()
    worker = server.connect()
    server.send(worker, p.CAN_DO, b"g")
    server.submit(b"g")
    assert len(server.send(worker, p.GRAB_JOB)) == 1
    assert server.send(worker, p.GRAB_JOB) == NO_JOB
