"""What the clients were promised, and what became of it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from geartrain import GeartrainError, JobException, JobFailed, WaitTimeoutError

FUNCTIONS = ("reverse", "nap", "nap_async", "tell", "fail", "raise", "spin")
WEIGHTS = (30, 20, 20, 10, 5, 5, 1)


@dataclass
class Account:
    """Kept by all clients; every method may be called from any thread."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    acknowledged: set[bytes] = field(default_factory=set)
    submitted: set[bytes] = field(default_factory=set)
    deeds: Counter[str] = field(default_factory=Counter)
    """What was done to the servers, workers and clients."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def complain(self, sentence: str) -> None:
        """Something is wrong."""
        with self._lock:
            self.wrong.append(sentence)

    def count(self, outcome: str) -> None:
        """A task has ended."""
        with self._lock:
            self.outcomes[outcome] += 1

    def ended(self, function: str, workload: bytes, outcome: bytes | BaseException | None) -> None:
        """Take down how a foreground task has ended, and check that it may have."""
        if isinstance(outcome, bytes):
            fits = outcome == workload[::-1] and function not in ("fail", "raise", "spin")
            self.count("result")
        elif isinstance(outcome, JobFailed):
            fits = function == "fail"
            self.count("failed")
        elif isinstance(outcome, JobException):
            text = {"raise": workload[::-1].decode(), "spin": "the job went past its time limit of 0.3 s"}
            fits = str(outcome) == text.get(function)
            self.count("exception")
        elif isinstance(outcome, WaitTimeoutError):
            fits = False
            self.count("no outcome in time")
        else:
            # Its server was lost and no other was there, or the client was closed.
            fits = isinstance(outcome, GeartrainError)
            self.count(f"{type(outcome).__name__} {getattr(outcome, 'code', '')}".strip())
        if not fits:
            self.complain(f"{function} {workload[:40]!r} ended with {outcome!r:.200}")

    def check_background(self, executed: list[bytes]) -> None:
        """Every job that was acknowledged must have been done, and nothing else."""
        done = set(executed)
        for workload in sorted(self.acknowledged - done):
            self.complain(f"the background job {workload.decode()} was acknowledged and never done")
        for workload in sorted(done - self.submitted):
            self.complain(f"the background job {workload!r} was done and never submitted")
        self.outcomes["background, acknowledged"] = len(self.acknowledged)
        self.outcomes["background, done more than once"] = len(executed) - len(done)

    def report(self) -> str:
        """The account, for people."""
        lines = [f"{count:8} {name}" for name, count in sorted(self.outcomes.items())]
        lines += ["what was done to them:"]
        lines += [f"{count:8} {name}" for name, count in sorted(self.deeds.items())]
        lines += [f"WRONG: {sentence}" for sentence in self.wrong[:50]]
        lines += [f"{len(self.wrong)} things went wrong"]
        return "\n".join(lines)
