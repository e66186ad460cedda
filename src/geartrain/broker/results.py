"""Outcomes of background jobs, kept for a while after they ended."""

from __future__ import annotations

import base64
import json
import math
from heapq import heapify, heappop, heappush
from typing import Any, Final, NamedTuple

MAX_RESULTS: Final = 100_000
"""Outcomes that are kept at most; the oldest goes first."""
MAX_RESULT_BYTES: Final = 64 * 1024 * 1024
"""Bytes of all kept outcomes' data at most; the oldest goes first."""

COMPLETE: Final = "complete"
FAIL: Final = "fail"
EXCEPTION: Final = "exception"
EXPIRED: Final = "expired"


class Outcome(NamedTuple):
    """How a background job ended. Times are in seconds since the epoch, to a tenth of a second."""

    handle: bytes
    function: bytes
    kind: str
    """`complete`, `fail`, `exception` or `expired`."""
    data: bytes
    """The result, or the text of the exception or of the expiry."""
    numerator: int
    denominator: int
    attempts: int
    queued_at: float
    started_at: float
    ended_at: float
    expires_at: float

    def describe(self) -> dict[str, Any]:
        """As JSON can hold it: `data` as text where it is UTF-8, else as `data_base64`."""
        found: dict[str, Any] = {
            "handle": self.handle.decode(),
            "function": self.function.decode("utf-8", "surrogateescape"),
            "state": self.kind,
            "numerator": self.numerator,
            "denominator": self.denominator,
            "attempts": self.attempts,
            "queued_at": self.queued_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "expires_at": self.expires_at,
        }
        try:
            found["data"] = self.data.decode()
        except UnicodeDecodeError:
            found["data_base64"] = base64.b64encode(self.data).decode()
        return found

    def dump(self) -> bytes:
        """For a journal."""
        fields = self.describe()
        fields.pop("data", None)
        fields.pop("data_base64", None)
        return json.dumps(fields).encode() + b"\n" + self.data


def load_outcome(key: str, value: bytes) -> Outcome:
    """Read what `Outcome.dump` wrote.

    Args:
        key: the document's key, the job's handle.
        value: the document.

    Raises:
        ValueError: it was not.
    """
    head, _, data = value.partition(b"\n")
    try:
        fields = json.loads(head)
        outcome = Outcome(
            fields["handle"].encode(),
            fields["function"].encode("utf-8", "surrogateescape"),
            fields["state"],
            data,
            *[int(fields[name]) for name in ("numerator", "denominator", "attempts")],
            *[float(fields[name]) for name in ("queued_at", "started_at", "ended_at", "expires_at")],
        )
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise ValueError("the outcome can't be read") from None
    if outcome.handle != key.encode("utf-8", "surrogatepass"):
        raise ValueError("it is the outcome of another job")
    if outcome.kind not in (COMPLETE, FAIL, EXCEPTION, EXPIRED):
        raise ValueError(f"a job does not end as {outcome.kind!r}")
    if not all(math.isfinite(time) for time in outcome[-4:]):
        raise ValueError("its times are no numbers")
    return outcome


class Results:
    """The kept outcomes, oldest first, bounded in number, bytes and time.

    Args:
        max_results: how many; the oldest goes first.
        max_bytes: of their data together; the oldest goes first, and what is larger alone is not kept.
    """

    def __init__(self, max_results: int = MAX_RESULTS, max_bytes: int = MAX_RESULT_BYTES) -> None:
        self._max_results = max_results
        self._max_bytes = max_bytes
        self._outcomes: dict[bytes, Outcome] = {}
        self._bytes = 0
        # When each is to go, the next one first. Those that went before are met there, too.
        self._expiry: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._outcomes)

    def get(self, handle: bytes, wall: float) -> Outcome | None:
        """The outcome of a job, if it is still kept."""
        outcome = self._outcomes.get(handle)
        return outcome if outcome is not None and outcome.expires_at > wall else None

    def can_hold(self, data: bytes) -> bool:
        """Whether the data of an outcome is not too much to be kept at all."""
        return len(data) <= self._max_bytes

    def put(self, outcome: Outcome) -> list[bytes]:
        """Keep an outcome; returns the handles of those that had to go for it."""
        self.discard(outcome.handle)
        self._outcomes[outcome.handle] = outcome
        self._bytes += len(outcome.data)
        heappush(self._expiry, (outcome.expires_at, outcome.handle))
        gone: list[bytes] = []
        while len(self._outcomes) > self._max_results or self._bytes > self._max_bytes:
            gone.append(self._drop(next(iter(self._outcomes))))
        if len(self._expiry) > 2 * len(self._outcomes) + 1000:
            self._expiry = [(kept.expires_at, handle) for handle, kept in self._outcomes.items()]
            heapify(self._expiry)
        return gone

    def expire(self, wall: float) -> list[bytes]:
        """Drop what was kept long enough; returns the handles."""
        gone: list[bytes] = []
        expiry = self._expiry
        while expiry and expiry[0][0] <= wall:
            outcome = self._outcomes.get(heappop(expiry)[1])
            if outcome is not None and outcome.expires_at <= wall:
                gone.append(self._drop(outcome.handle))
        return gone

    def discard(self, handle: bytes) -> bool:
        """Drop one before its time; false if it is not kept."""
        if handle not in self._outcomes:
            return False
        self._drop(handle)
        return True

    def _drop(self, handle: bytes) -> bytes:
        self._bytes -= len(self._outcomes.pop(handle).data)
        return handle
