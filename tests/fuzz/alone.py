"""Hostile inputs at the parser and the broker, without a socket: as many as there is time for."""

from __future__ import annotations

from typing import Final

from geartrain.broker import Broker, Peer
from geartrain.broker.limits import Limits
from geartrain.errors import ProtocolError
from geartrain.wire import packets as p
from geartrain.wire.codec import request
from geartrain.wire.parser import Parser

from .generator import Generator

PEERS: Final = 12
CANARY_EVERY: Final = 1000
"""Inputs between two jobs that a well-behaved client and worker must get done."""


class Alone:
    """One broker, some peers that send what the generator makes, and a client and worker that behave."""

    def __init__(self, seed: int) -> None:
        self._generator = Generator(seed)
        limits = Limits(max_jobs=500, max_bytes=1 << 20, max_functions=300, max_abilities=20)
        self.broker = Broker("fuzz", 1, limits=limits)
        self._peers: list[tuple[Peer, Parser]] = []
        self._client, self._worker = self._connect(), self._connect()
        self._now = 0.0
        self.refused = 0
        self.answered = 0

    def run(self, inputs: int) -> None:
        """Take so many inputs."""
        for number in range(inputs):
            self._take(self._generator.input())
            if number % 10 == 0:
                self._now += 0.1
                self.broker.tick(self._now, self._now)
                self._write()
            if number % CANARY_EVERY == 0:
                self._check_canary()
                self._generator.handles = [job.handle for job in self.broker.jobs.by_handle.values()][:50]
        self._check_canary()

    def _connect(self) -> Peer:
        peer = Peer()
        self.broker.connect(peer)
        return peer

    def _take(self, data: bytes) -> None:
        generator = self._generator
        if len(self._peers) < PEERS:
            self._peers.append((self._connect(), Parser(p.REQUEST)))
        at = generator.below(len(self._peers))
        peer, parser = self._peers[at]
        for chunk in generator.chunks(data):
            try:
                packets = parser.feed(chunk)
            except ProtocolError as error:
                packets = error.packets
                self.refused += 1
                self._leave(at)
                return
            for type, body in packets:
                self.broker.receive(peer, type, body)
        self._write()
        # An unfinished packet would swallow the inputs that follow.
        if not parser.idle or generator.chance(0.02):
            self._leave(at)

    def _leave(self, at: int) -> None:
        peer, _ = self._peers.pop(at)
        self.broker.disconnect(peer)

    def _write(self) -> None:
        for peer in self.broker.outboxes.take_touched():
            self.answered += len(peer.outbox)
            peer.outbox.clear()
            peer.asked_for = 0
        self.broker.outboxes.take_held_up()
        self.broker.shutdown = ""

    def _check_canary(self) -> None:
        """A client that behaves still gets its job done."""
        broker = self.broker
        self._make_room()
        broker.receive(self._worker, p.CAN_DO, b"canary")
        broker.receive(self._client, p.SUBMIT_JOB, b"canary\0\0tweet")
        broker.receive(self._worker, p.GRAB_JOB, b"")
        assigned = self._worker.outbox[-1]
        assert assigned[:8] == b"\0RES" + p.JOB_ASSIGN.to_bytes(4, "big"), assigned
        handle = assigned[12:].split(b"\0")[0]
        broker.receive(self._worker, p.WORK_COMPLETE, handle + b"\0done")
        completed = request(p.WORK_COMPLETE, handle + b"\0done").replace(b"\0REQ", b"\0RES")
        assert self._client.outbox[-1] == completed, self._client.outbox
        broker.receive(self._worker, p.CANT_DO, b"canary")
        self._write()

    def _make_room(self) -> None:
        """Cancel some jobs if there are as many as there may be."""
        jobs = self.broker.jobs
        if len(jobs) > 250:
            for job in list(jobs.by_handle.values())[:200]:
                jobs.cancel(job.handle)
            while self._peers:
                self._leave(0)
            self._write()

    def finish(self) -> None:
        """All peers leave; nothing of them may stay."""
        broker = self.broker
        while self._peers:
            self._leave(0)
        broker.disconnect(self._client)
        broker.disconnect(self._worker)
        self._write()
        for job in list(broker.jobs.by_handle.values()):
            assert broker.jobs.cancel(job.handle)
        assert not broker.peers
        assert len(broker.jobs) == 0
        assert broker.jobs.bytes == 0
        for function in broker.functions.values():
            numbers = (function.total, function.waiting, function.running, function.workers, function.woken)
            assert numbers == (0, 0, 0, 0, 0), (function.name, numbers)
            assert function.sleepers.first is None
            assert not function.uniques
            assert not function.workloads
            assert function.bytes == 0
