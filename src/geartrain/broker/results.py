"""Outcomes of background jobs, kept for a while after they ended."""

from __future__ import annotations

import base64
import json
from typing import Any, Final, NamedTuple

MAX_RESULTS: Final = 100_000
"""Outcomes that are kept at most; the oldest goes first."""
MAX_RESULT_BYTES: Final = 64 * 1024 * 1024
"""Bytes of all kept outcomes' data at most; the oldest goes first."""

COMPLETE: Final = "complete"
FAIL: Final = "fail"
EXCEPTION: Final = "exception"


class Outcome(NamedTuple):
    """How a background job ended. Times are in seconds since the epoch, to a tenth of a second."""

    handle: bytes
    function: bytes
    kind: str
    """`complete`, `fail` or `exception`."""
    data: bytes
    """The result, or the exception's text."""
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


def load_outcome(value: bytes) -> Outcome:
    """The inverse of `Outcome.dump`."""
    head, _, data = value.partition(b"\n")
    fields = json.loads(head)
    return Outcome(
        fields["handle"].encode(),
        fields["function"].encode("utf-8", "surrogateescape"),
        fields["state"],
        data,
        fields["numerator"],
        fields["denominator"],
        fields["attempts"],
        fields["queued_at"],
        fields["started_at"],
        fields["ended_at"],
        fields["expires_at"],
    )


class Results:
    """The kept outcomes, oldest first, bounded in number, bytes and time."""

    def __init__(self, max_results: int = MAX_RESULTS, max_bytes: int = MAX_RESULT_BYTES) -> None:
        self._max_results = max_results
        self._max_bytes = max_bytes
        self._outcomes: dict[bytes, Outcome] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._outcomes)

    def get(self, handle: bytes) -> Outcome | None:
        """The outcome of a job, if it is still kept."""
        return self._outcomes.get(handle)

    def put(self, outcome: Outcome) -> list[bytes]:
        """Keep an outcome; returns the handles of those that had to go for it."""
        self._outcomes[outcome.handle] = outcome
        self._bytes += len(outcome.data)
        gone: list[bytes] = []
        while len(self._outcomes) > self._max_results or self._bytes > self._max_bytes:
            gone.append(self._drop(next(iter(self._outcomes))))
        return gone

    def expire(self, wall: float) -> list[bytes]:
        """Drop what was kept long enough; returns the handles. Looks at a bounded number each time."""
        looked_at: list[Outcome] = []
        for outcome in self._outcomes.values():
            looked_at.append(outcome)
            if len(looked_at) == 1000:
                break
        return [self._drop(outcome.handle) for outcome in looked_at if outcome.expires_at <= wall]

    def _drop(self, handle: bytes) -> bytes:
        self._bytes -= len(self._outcomes.pop(handle).data)
        return handle
