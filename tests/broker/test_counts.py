"""What the broker counts as it goes is what is there, whatever jobs go through."""

from __future__ import annotations

import random

import pytest

from geartrain.broker.state import HIGH, LOW, NORMAL
from geartrain.wire import packets as p

from .talk import Connection, Stage

FORMS = (p.SUBMIT_JOB, p.SUBMIT_JOB_BG, p.SUBMIT_JOB_HIGH, p.SUBMIT_JOB_HIGH_BG, p.SUBMIT_JOB_LOW_BG)
STEPS = 2_000


def priority_status(asker: Connection) -> dict[bytes, list[int]]:
    """What the command tells: high, normal and low by function."""
    asker.send(p.TEXT, b"prioritystatus")
    lines = b"".join(asker.peer.outbox).splitlines()[:-1]
    asker.peer.outbox.clear()
    fields = [line.split(b"\t") for line in lines]
    return {name: [int(high), int(normal), int(low)] for name, high, normal, low, _ in fields}


def without_worker(stage: Stage) -> dict[bytes, list[int]]:
    """The same by looking at every job."""
    jobs = [job for job in stage.broker.jobs.by_handle.values() if job.worker is None]
    return {
        name: [
            sum(job.function is function and job.priority == priority for job in jobs)
            for priority in (HIGH, NORMAL, LOW)
        ]
        for name, function in stage.broker.functions.items()
    }


@pytest.mark.parametrize("seed", range(3))
def test_priorities_are_counted_right_whatever_becomes_of_the_jobs(seed: int) -> None:
    chance = random.Random(seed)
    stage = Stage()
    asker = stage.connect()
    for configured in ("f", "g"):
        rules = {"function": configured, "max_attempts": 3, "backoff": "linear 1s 4s", "retry": ["fail"]}
        asker.ask("function.set", rules)
    peers = [stage.connect() for _ in range(6)]
    for _ in range(STEPS):
        peer = chance.choice(peers)
        name = chance.choice((b"f", b"g"))
        handles = [job.handle for job in stage.broker.jobs.by_handle.values()]
        match chance.randrange(9):
            case 0 | 1:
                unique = chance.choice((b"", b"-", b"u%d" % chance.randrange(50)))
                peer.send(chance.choice(FORMS), name, unique, b"%d" % chance.randrange(50))
            case 2:
                due = b"%d" % (stage.wall + chance.randrange(-5, 20))
                peer.send(p.SUBMIT_JOB_EPOCH, name, b"", due, b"work")
            case 3:
                peer.send(p.CAN_DO, name)
                peer.send(p.GRAB_JOB)
            case 4:
                for handle in list(peer.peer.running):
                    peer.send(chance.choice((p.WORK_COMPLETE, p.WORK_FAIL)), handle)
            case 5:
                if handles:
                    peer.send(p.TEXT, b"cancel job " + chance.choice(handles))
            case 6:
                stage.broker.disconnect(peer.peer)
                peers[peers.index(peer)] = stage.connect()
            case 7:
                stage.go(chance.choice((0.1, 3)))
            case 8:
                stage.commit()
                if not chance.randrange(20):
                    stage.restart()
                    asker, *peers = [stage.connect() for _ in range(7)]
        for connection in peers:
            connection.peer.outbox.clear()
        assert priority_status(asker) == without_worker(stage)
