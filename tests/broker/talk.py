"""A broker with a clock and connections of a test's own, packet by packet."""

from __future__ import annotations

import json
from typing import Any

from geartrain.broker import Broker, Peer
from geartrain.broker.limits import Limits, Rules
from geartrain.broker.records import Batch, Document, JobRecord
from geartrain.wire import packets as p

Told = list[tuple[int, bytes]]
"""Packets, each as its type and body."""


def told(broker: Broker, peer: Peer) -> Told:
    """Every packet that a peer was told since the last time."""
    data = b"".join(peer.outbox)
    peer.outbox.clear()
    broker.outboxes.take_touched()
    packets = []
    start = 0
    while start < len(data):
        body = start + 12
        end = body + int.from_bytes(data[start + 8 : body], "big")
        packets.append((int.from_bytes(data[start + 4 : start + 8], "big"), data[body:end]))
        start = end
    return packets


class Connection:
    """One connection: what is sent goes in, what it is told comes out."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.peer = Peer()
        stage.broker.connect(self.peer)

    def send(self, type: int, *arguments: bytes) -> None:
        self.stage.broker.receive(self.peer, type, b"\0".join(arguments))

    def told(self) -> Told:
        """Every packet since the last time: its type and body."""
        return told(self.stage.broker, self.peer)

    def submit(
        self, function: bytes, workload: bytes = b"", unique: bytes = b"", *, background: bool = True
    ) -> bytes:
        """Submit a job, commit it, and return its handle."""
        self.told()
        self.send(p.SUBMIT_JOB_BG if background else p.SUBMIT_JOB, function, unique, workload)
        self.stage.commit()
        (type, handle), *rest = self.told()
        assert (type, rest) == (p.JOB_CREATED, []), (type, handle)
        return handle

    def grab(self) -> tuple[bytes, bytes] | None:
        """Grab a job: its handle and workload, or None."""
        self.told()
        self.send(p.GRAB_JOB)
        ((type, body),) = self.told()
        if type == p.NO_JOB:
            return None
        handle, _, workload = body.split(b"\0", 2)
        return handle, workload

    def ask(self, function: str, workload: object = None) -> Any:
        """Have the server do one of its own functions."""
        self.told()
        self.peer.wants_exceptions = True
        body = workload if isinstance(workload, bytes) else json.dumps(workload or {}).encode()
        self.send(p.SUBMIT_JOB, b"geartrain." + function.encode(), b"", body)
        self.stage.commit()
        (_, (type, body)) = self.told()
        data = body.partition(b"\0")[2]
        if type == p.WORK_EXCEPTION:
            raise ValueError(data.decode())
        return json.loads(data)


class Stage:
    """A broker, what is durable of it, and time."""

    def __init__(self, limits: Limits | None = None, rules: Rules | None = None, prefix: str = "") -> None:
        self.limits = limits
        self.rules = rules
        self.prefix = prefix
        self.now = 100.0
        self.wall = 1_700_000_000.0
        self.jobs: dict[int, JobRecord] = {}
        self.documents: dict[tuple[str, str], bytes] = {}
        self.restart()

    def restart(self) -> None:
        """A server starts with what was committed."""
        number = max(self.jobs, default=1000) + 1000
        self.broker = Broker(
            "here",
            number,
            now=self.now,
            wall=self.wall,
            durable=True,
            limits=self.limits,
            rules=self.rules,
            handle_prefix=self.prefix,
        )
        for (kind, key), value in sorted(self.documents.items()):
            self.broker.restore_document(Document(kind, key, value))
        for _, record in sorted(self.jobs.items()):
            self.broker.restore(record)

    def connect(self) -> Connection:
        return Connection(self)

    def worker(self, *functions: bytes) -> Connection:
        worker = self.connect()
        for function in functions:
            worker.send(p.CAN_DO, function)
        return worker

    def commit(self) -> None:
        """Write everything there is to write."""
        while self.broker.commit_is_due:
            self.write(self.broker.take_batch())
            self.broker.committed()

    def write(self, batch: Batch) -> None:
        for number in batch.ended:
            self.jobs.pop(number, None)
        self.jobs.update(batch.saved)
        for key, value in batch.documents.items():
            if value is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = value

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.wall += seconds
        self.broker.tick(self.now, self.wall)
        self.commit()
