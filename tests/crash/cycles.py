"""Kill, restart, drain: the cycles and the account of what they cost."""

from __future__ import annotations

import random
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.processes import free_port, wait_until
from tests.harness.servers import JobServer, geartrain

from .load import FUNCTION, Submitter, Worker

SUBMITTERS: Final = 3
WORKERS: Final = 2
SHORTEST_LIFE: Final = 0.05
LONGEST_LIFE: Final = 0.4
"""Seconds that a server lives under load before it is killed."""
MOST_WAITING: Final = 10_000
"""Jobs that wait at the beginning of a cycle above which nothing is submitted in it."""
UNSETTLED: Final = 1.0
"""Seconds before a kill within which a completion may not be durable yet; only such jobs may run again."""


@dataclass
class Account:
    """What was promised and what was done, over all cycles."""

    cycles: int = 0
    submitted: set[bytes] = field(default_factory=set)
    acknowledged: set[bytes] = field(default_factory=set)
    executed: dict[bytes, list[float]] = field(default_factory=dict)
    """When each job was completed, each time."""
    kills: list[float] = field(default_factory=list)

    @property
    def lost(self) -> set[bytes]:
        """Acknowledged and never executed."""
        return self.acknowledged - self.executed.keys()

    @property
    def invented(self) -> set[bytes]:
        """Executed and never submitted."""
        return self.executed.keys() - self.submitted

    @property
    def duplicated(self) -> set[bytes]:
        """Executed more than once."""
        return {workload for workload, times in self.executed.items() if len(times) > 1}

    @property
    def unexcused(self) -> set[bytes]:
        """Executed again although an earlier completion must have been durable: no kill followed it soon."""
        return {
            workload
            for workload in self.duplicated
            if not all(
                any(0 <= kill - done < UNSETTLED for kill in self.kills)
                for done in self.executed[workload][:-1]
            )
        }

    def report(self) -> str:
        """The account in one line."""
        return (
            f"{self.cycles} cycles: {len(self.acknowledged)} acknowledged, {len(self.executed)} executed, "
            f"{len(self.lost)} lost, {len(self.invented)} invented, {len(self.duplicated)} duplicated "
            f"({len(self.unexcused)} without excuse)"
        )


def run(journal: Path, cycles: int, seed: int) -> Account:
    """Kill a server that often while it is loaded, then restart it once more and drain it."""
    chance = random.Random(seed)
    account = Account(cycles=cycles)
    port = free_port()
    for cycle in range(cycles):
        with _server(journal, port) as server:
            # Jobs that pile up would only lengthen the replays, so then the kills fall into a draining.
            is_piled_up = len(account.acknowledged) - len(account.executed) > MOST_WAITING
            count = 0 if is_piled_up else SUBMITTERS
            submitters = [Submitter(port, f"{cycle}-{n}", n == 0) for n in range(count)]
            workers = [Worker(port) for _ in range(WORKERS if is_piled_up else chance.randint(0, WORKERS))]
            for peer in (*submitters, *workers):
                peer.start()
            time.sleep(chance.uniform(SHORTEST_LIFE, LONGEST_LIFE))
            server.process.kill()
            for peer in (*submitters, *workers):
                peer.finish()
            # Only now: a worker may still have had jobs in its buffer.
            account.kills.append(time.monotonic())
        for submitter in submitters:
            assert not submitter.refused, "a submission was refused"
            account.submitted |= submitter.submitted
            account.acknowledged.update(submitter.acknowledged)
        _note_executed(account, workers)
    with _server(journal, port) as server:
        workers = [Worker(port) for _ in range(4)]
        for worker in workers:
            worker.start()
        wait_until(lambda: _is_drained(server), "every job that was kept has run", 60, interval=0.05)
        for worker in workers:
            worker.finish()
        _note_executed(account, workers)
    for times in account.executed.values():
        times.sort()
    return account


def _server(journal: Path, port: int) -> AbstractContextManager[JobServer]:
    return geartrain("--journal", f"sqlite:{journal}", port=port)


def _is_drained(server: JobServer) -> bool:
    with server.connect() as peer:
        peer.send_text("status")
        rows = [line.split(b"\t") for line in peer.recv_lines()]
    return all(row[1] == b"0" for row in rows if row[0] == FUNCTION)


def _note_executed(account: Account, workers: list[Worker]) -> None:
    for worker in workers:
        for workload, done in worker.executed:
            account.executed.setdefault(workload, []).append(done)
