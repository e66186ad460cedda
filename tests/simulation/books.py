"""The model's idea of what survives: what the journal holds, what is being written, who waits for it."""

from __future__ import annotations

from typing import Any

from geartrain.wire import packets as p

from .parts import Acknowledgement, Job, Peer, packet

Key = tuple[str, Any]
"""`("job", number)`, `("result", handle)` or `("policy", function)`."""


class Books:
    """The jobs, and the account of what was promised. `touched`: the peers with something new to read."""

    def __init__(self) -> None:
        self.jobs: dict[bytes, Job] = {}
        self.dead: dict[bytes, Job] = {}
        self.touched: dict[Peer, None] = {}
        # What the journal holds, what is being written, and what is to be written next; None: removed.
        self.durable: dict[Key, Any] = {}
        self.in_flight: dict[Key, Any] | None = None
        self.gathering: dict[Key, Any] = {}
        self.commit = 1
        self.new_in_flight: list[Job] = []
        self.new_gathering: list[Job] = []
        self.waits_for_commit: list[tuple[Peer, Acknowledgement]] = []
        # Every job that somebody holds an acknowledgement for and that has not ended.
        self.promised: dict[bytes, None] = {}

    def tell(self, peer: Peer, *packets: bytes | Acknowledgement) -> None:
        peer.expected += packets
        self.touched[peer] = None

    def acknowledge(self, peer: Peer, job: Job) -> None:
        last_ended = self.commit - 1 - (self.in_flight is not None)
        if job.commit <= last_ended:
            self.promised[job.handle] = None
            self.tell(peer, packet(p.JOB_CREATED, job.handle))
            return
        acknowledgement = Acknowledgement(job, job.commit)
        self.tell(peer, acknowledgement)
        self.waits_for_commit.append((peer, acknowledgement))

    def save(self, job: Job) -> None:
        if job.commit:
            self.gathering["job", job.number] = job.snapshot()

    def end_in_journal(self, job: Job) -> None:
        if not job.commit:
            return
        if job.commit < self.commit:
            self.gathering["job", job.number] = None
        else:
            del self.gathering["job", job.number]
            self.new_gathering.remove(job)
        job.commit = 0

    def take(self) -> None:
        self.in_flight, self.gathering = self.gathering, {}
        self.new_in_flight, self.new_gathering = self.new_gathering, []
        self.commit += 1

    def write(self) -> None:
        """The journal has what was taken, whether the server hears of it or not."""
        _apply(self.durable, self.in_flight or {})

    def committed(self) -> None:
        self.answer_all(set())

    def answer_all(self, refused: set[Job], error: bytes = b"") -> None:
        last_ended = self.commit - 1
        still = []
        for peer, acknowledgement in self.waits_for_commit:
            if acknowledgement.commit > last_ended:
                still.append((peer, acknowledgement))
                continue
            job = acknowledgement.job
            acknowledgement.answer = error if job in refused else packet(p.JOB_CREATED, job.handle)
            if job not in refused and (job.handle in self.jobs or job.handle in self.dead):
                self.promised[job.handle] = None
            self.touched[peer] = None
        self.waits_for_commit = still
        self.in_flight = None
        self.new_in_flight = []


def _apply(state: dict[Key, Any], changes: dict[Key, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
