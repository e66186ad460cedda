"""What a function's jobs are allowed: attempts, delays between them, time, number, concurrency, rate.

Without a policy a function is Gearman's: a job that lost its worker runs again at once, as often as it takes.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

from ..units import parse_seconds

_RATES: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MAX_TIMEOUTS: Final = 3
"""Time-outs in a row of a job whose function says nothing else."""
BACKOFFS: Final = ("none", "fixed", "linear", "exponential")


class Policy:
    """The rules of one function. Zero means no limit throughout.

    Attributes:
        max_timeouts: time-outs in a row after which a job without `max_attempts` is given up in the same way.
        max_attempts: how often a job may be tried; then a background job is dead and a foreground job fails.
        retry: which ends of a background job, besides the loss of its worker, are worth another attempt:
            any of `"fail"` and `"exception"`.
        backoff, first_delay, max_delay: how long a background job waits before its second attempt (seconds),
            how that grows (see `BACKOFFS`), and how long it grows at most. Up to a tenth is added so that
            jobs that failed together do not return together.
        timeout: seconds that an attempt may take, where the worker announced none.
        max_queue: jobs that the function holds at most.
        concurrency: jobs that run at a time at most.
        rate: jobs that start in a second at most, on average; `burst` of them may start at once.
        keep_results: seconds that the outcome of a background job can be asked for.
        max_age: seconds after which a job that does not run expires.
        paused: no job starts; submissions are taken.
        is_bounded: whether any of `paused`, `concurrency` and `rate` is set.
    """

    def __init__(self) -> None:
        self.max_attempts = 0
        self.max_timeouts = MAX_TIMEOUTS
        self.retry: list[str] = []
        self.backoff = "none"
        self.first_delay = 0.0
        self.max_delay = 0.0
        self.timeout = 0.0
        self.max_queue = 0
        self.concurrency = 0
        self.rate = 0.0
        self.keep_results = 0.0
        self.max_age = 0.0
        self.paused = False
        self.is_bounded = False

    @property
    def burst(self) -> float:
        """Jobs that may start at once under a rate: a second's worth, and one at least."""
        return max(1.0, self.rate)

    def delay(self, attempt: int, handle: bytes) -> float:
        """Seconds until a job's next attempt, when `attempt` of them were made."""
        if self.backoff == "none" or not self.first_delay:
            return 0.0
        delay = self.first_delay
        if self.backoff == "linear":
            delay *= attempt
        elif self.backoff == "exponential":
            delay *= 2.0 ** min(attempt - 1, 64)
        if self.max_delay:
            delay = min(delay, self.max_delay)
        # Chance would not replay; a hash of what is delayed spreads as well.
        spread = zlib.crc32(b"%b %d" % (handle, attempt)) % 1000 / 1000
        return delay * (1 + spread / 10)

    def update(self, settings: dict[str, Any]) -> None:
        """Change what `settings` names, as people write it: `{"timeout": "30s", "rate": "100/s"}`.

        Raises:
            ValueError: a key is not known or a value can't be read; then nothing was changed.
        """
        changes: dict[str, Any] = {}
        for key, value in settings.items():
            if key in ("max_attempts", "max_timeouts", "max_queue", "concurrency"):
                changes[key] = _whole(key, value)
            elif key in ("timeout", "keep_results", "max_age"):
                changes[key] = parse_seconds(value)
            elif key == "paused":
                changes[key] = _flag(key, value)
            elif key == "rate":
                changes[key] = _rate(value)
            elif key == "retry":
                words = value.replace(",", " ").split() if isinstance(value, str) else value
                if not isinstance(words, list) or any(word not in ("fail", "exception") for word in words):
                    raise ValueError(f"retry: expected any of 'fail' and 'exception', got {value!r}")
                changes[key] = [str(word) for word in words]
            elif key == "backoff":
                kind, first, most = _backoff(value)
                changes["backoff"], changes["first_delay"], changes["max_delay"] = kind, first, most
            else:
                raise ValueError(f"{key!r} is no setting of a function")
        for name, change in changes.items():
            setattr(self, name, change)
        self.is_bounded = bool(self.paused or self.concurrency or self.rate)

    def settings(self) -> dict[str, Any]:
        """What `update` takes, for everything that is not at its default."""
        found: dict[str, Any] = {}
        for key in (
            "max_attempts",
            "retry",
            "timeout",
            "max_queue",
            "concurrency",
            "keep_results",
            "max_age",
            "paused",
        ):
            if value := getattr(self, key):
                found[key] = value
        if self.max_timeouts != MAX_TIMEOUTS:
            found["max_timeouts"] = self.max_timeouts
        if self.rate:
            found["rate"] = f"{_plain(self.rate)}/s"
        if self.backoff != "none":
            found["backoff"] = f"{self.backoff} {_plain(self.first_delay)}s {_plain(self.max_delay)}s"
        return found


def _plain(number: float) -> str:
    """A number as `seconds` and `_rate` read it back."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _whole(key: str, value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0 or isinstance(value, bool):
        raise ValueError(f"{key}: expected a whole number, got {value!r}")
    return number


def _flag(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    found = {"true": True, "false": False}.get(str(value).lower())
    if found is None:
        raise ValueError(f"{key}: expected true or false, got {value!r}")
    return found


def _rate(value: object) -> float:
    """`100/s`, `30/m`, or a number of jobs a second."""
    text, _, unit = str(value).partition("/")
    scale = _RATES.get(unit or "s")
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if scale is None or not 0 <= rate < 1e9:
        raise ValueError(f"rate: expected one such as '100/s' or '30/m', got {value!r}")
    return rate / scale


def _backoff(value: object) -> tuple[str, float, float]:
    """`none`, `fixed 5s`, `linear 1s 1m`, `exponential 1s 10m`."""
    words = str(value).split()
    if not words or words[0] not in BACKOFFS or len(words) > 3 or (words[0] != "none" and len(words) == 1):
        raise ValueError(f"backoff: expected one such as 'exponential 1s 10m', got {value!r}")
    first = parse_seconds(words[1]) if len(words) > 1 else 0.0
    return words[0], first, parse_seconds(words[2]) if len(words) > 2 else 0.0
