"""What the model is made of: rules, functions, jobs and connections, as plain as they come."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, Final

GRACE: Final = 2
"""Ticks after which a worker that was woken and did nothing does not count as woken any more."""

QUEUED: Final = "queued"
DELAYED: Final = "delayed"
RUNNING: Final = "running"
DEAD: Final = "dead"


def packet(type: int, *arguments: bytes) -> bytes:
    """A packet as a server sends it."""
    body = b"\0".join(arguments)
    return b"\0RES" + type.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


@dataclass
class Rules:
    """The policy of a function, as far as the simulation uses it."""

    max_attempts: int = 0
    max_timeouts: int = 3
    retry: tuple[str, ...] = ()
    backoff: str = "none"
    first_delay: float = 0.0
    max_delay: float = 0.0
    timeout: float = 0.0
    max_queue: int = 0
    concurrency: int = 0
    rate: float = 0.0
    keep_results: float = 0.0
    max_age: float = 0.0
    paused: bool = False

    def settings(self) -> dict[str, Any]:
        """As the server is told."""
        return {
            "max_attempts": self.max_attempts,
            "max_timeouts": self.max_timeouts,
            "retry": list(self.retry),
            "backoff": f"{self.backoff} {self.first_delay}s {self.max_delay}s",
            "timeout": self.timeout,
            "max_queue": self.max_queue,
            "concurrency": self.concurrency,
            "rate": f"{self.rate}/s",
            "keep_results": self.keep_results,
            "max_age": self.max_age,
            "paused": self.paused,
        }

    def delay(self, attempts: int, handle: bytes) -> float:
        """Seconds of rest before the next attempt."""
        grown = {
            "none": 0.0,
            "fixed": self.first_delay,
            "linear": self.first_delay * attempts,
            "exponential": self.first_delay * 2.0 ** (attempts - 1),
        }[self.backoff]
        if self.max_delay:
            grown = min(grown, self.max_delay)
        return grown * (1 + zlib.crc32(b"%b %d" % (handle, attempts)) % 1000 / 1000 / 10)


@dataclass(eq=False)
class Function:
    """A function and its jobs that wait, the foremost first."""

    name: bytes
    rules: Rules
    tokens: float = 0.0
    spent: int = 0
    told_from: float = 0.0
    queues: tuple[list[Job], list[Job], list[Job]] = field(default_factory=lambda: ([], [], []))
    waiting: int = 0
    running: int = 0
    total: int = 0
    coalesce: dict[bytes, Job] = field(default_factory=dict)
    workers: dict[Peer, None] = field(default_factory=dict)

    def demand(self) -> int:
        """How many of its jobs may start now."""
        found = 0 if self.rules.paused else self.waiting
        if self.rules.concurrency:
            found = min(found, self.rules.concurrency - self.running)
        if self.rules.rate:
            found = min(found, int(self.tokens))
        return max(found, 0)


@dataclass(eq=False)
class Job:
    """One job."""

    number: int
    handle: bytes
    function: Function
    unique: bytes
    workload: bytes
    priority: int
    background: bool
    clients: list[Peer] = field(default_factory=list)
    worker: Peer | None = None
    state: str = QUEUED
    due: float = 0.0
    rests_until: float | None = None
    deadline: float = 0.0
    attempts: int = 0
    timeouts: int = 0
    # How often it was requeued from the dead.
    lives: int = 0
    progress: tuple[bytes, bytes] = (b"0", b"0")
    queued_at: float = 0.0
    # Seconds since the epoch; 0: never.
    expires_at: float = 0.0
    # The commit that holds it, counted from 1; 0: none.
    commit: int = 0

    @property
    def key(self) -> bytes:
        """What others that coalesce with it have in common; empty: none do."""
        if self.unique == b"-":
            return b"workload " + self.workload if self.workload else b""
        return b"unique " + self.unique if self.unique else b""

    def snapshot(self) -> tuple[object, ...]:
        """What a journal has to know of it."""
        return (self.function.name, self.unique, self.workload, self.priority, self.due, self.state == DEAD,
                self.attempts, self.timeouts, self.queued_at, self.expires_at)  # fmt: skip


class Acknowledgement:
    """JOB_CREATED that waits for a commit."""

    def __init__(self, job: Job, commit: int) -> None:
        self.job = job
        self.commit = commit
        self.answer = b""


@dataclass(eq=False)
class Peer:
    """A connection, and what it has to be told."""

    expected: list[bytes | Acknowledgement] = field(default_factory=list)
    abilities: dict[bytes, float] = field(default_factory=dict)
    running: dict[bytes, Job] = field(default_factory=dict)
    # Jobs that timed out here; they may have ended or gone elsewhere since.
    timed_out: dict[bytes, tuple[Job, int]] = field(default_factory=dict)
    attached: list[Job] = field(default_factory=list)
    wants_exceptions: bool = False
    # Seconds after which its next submission expires; 0: never.
    expires: float = 0.0
    # Whether its last grab got a job; whether one waits for a job, and wants it with its unique.
    had_job: bool = False
    grab: bool | None = None
    sleeping: bool = False
    # The tick in which it was woken; -1: no wake is in flight.
    woken_at: int = -1
    # Whether something waited behind an acknowledgement when this was last looked at.
    is_late: bool = False

    @property
    def is_held(self) -> bool:
        """Whether it waits for a commit."""
        return bool(self.expected)

    def may_be_told(self) -> bytes:
        """Take what it has to have been told by now."""
        told = []
        expected = self.expected
        while expected:
            item = expected[0]
            if isinstance(item, Acknowledgement):
                if not item.answer:
                    break
                item = item.answer
            told.append(item)
            del expected[0]
        return b"".join(told)
