"""When something is to run: cron expressions in a time zone, and the five fields of SUBMIT_JOB_SCHED.

Time is an argument throughout, in seconds since the epoch. Around a change to or from daylight saving time
it is as with Debian's cron: what falls into the hour that is left out runs right after it, what falls into
the hour that comes twice runs once, and what runs every hour or more often runs in both.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ..units import parse_seconds

LONGEST: Final = 200
"""Characters of an expression."""
_ZONES_AT: Final = "/zoneinfo/"

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
EVERY: Final = "@every"
"""Word before an interval, as in `@every 5m`."""


class Cron:
    """The times that an expression describes.

    Args:
        expression: minute, hour, day of month, month, day of week (0 or 7: Sunday), as crontab(5) has them.
            If both days are restricted, one of them has to match. Or one of `@yearly`, `@monthly`,
            `@weekly`, `@daily`, `@hourly`; or an interval such as `@every 5m`, one second at least, whose
            runs are at its multiples since the epoch.
        zone: a name such as `Europe/Berlin`; empty: the system's.

    Raises:
        ValueError: one of them can't be understood.
    """

    def __init__(self, expression: str, zone: str = "") -> None:
        self.expression = " ".join(expression.split())
        self.zone = zone
        self._zone = zone_of(zone)
        self._interval = 0.0
        self._fields = ALIASES.get(self.expression.lower(), self.expression)
        if self.expression.lower().startswith(EVERY):
            self._interval = parse_seconds(self.expression[len(EVERY) :])
            if self._interval < 1:
                raise ValueError(f"{self.expression[:LONGEST]!r}: the shortest interval is one second")
        elif self._fields.count(" ") != 4 or len(self.expression) > LONGEST:
            raise ValueError(
                "expected five fields such as '0 3 * * *', '@daily' or '@every 5m', "
                f"got {expression[:LONGEST]!r}"
            )
        self.next(0.0)

    def next(self, after: float) -> float:
        """Return the first of the times after that one.

        Raises:
            ValueError: there is none within fifty years.
        """
        if self._interval:
            return (after // self._interval + 1) * self._interval
        try:
            for found in CronSim(self._fields, datetime.fromtimestamp(after, self._zone)):
                time = found.timestamp()
                # In the hour that comes twice a time of the first may be found again from within the second.
                if time > after:
                    return time
        except (CronSimError, OverflowError, ValueError, OSError) as error:
            raise ValueError(f"{self.expression!r}: {str(error).lower()}") from None
        raise ValueError(f"{self.expression!r} never comes")

    def between(self, after: float, until: float, most: int) -> tuple[list[float], float]:
        """The times after the one and up to the other, the latest `most` of them, and the one after those."""
        times: list[float] = []
        time = self.next(after)
        while time <= until and len(times) < most:
            times.append(time)
            time = self.next(time)
        if time <= until and self._interval:
            last = until // self._interval
            times = [(last - number) * self._interval for number in reversed(range(most))]
            time = self.next(until)
        elif time <= until:  # there are more: a server was down for long, so look from the other end
            back = CronSim(self._fields, datetime.fromtimestamp(int(until) + 1, self._zone), reverse=True)
            times = sorted({found.timestamp() for found in islice(back, most)})
            time = self.next(until)
        return times, time


def next_time(fields: list[bytes], after: float, zone: str = "") -> float:
    """When a job of SUBMIT_JOB_SCHED is to run: the next time that its fields describe.

    The protocol counts the days of the week from Monday, 0, to Sunday, 6. An empty field is as good as `*`;
    lists, ranges and steps are taken, too.

    Raises:
        ValueError: they describe none.
    """
    if sum(map(len, fields)) > LONGEST:
        raise ValueError(f"expected five fields of {LONGEST} bytes together at most")
    minute, hour, day_of_month, month, day_of_week = [
        field.decode("utf-8", "replace").strip() or "*" for field in fields
    ]
    try:
        days = _as_cron_counts(day_of_week)
    except (IndexError, ValueError):
        raise ValueError(f"day of week: expected 0 (Monday) to 6, got {day_of_week[:LONGEST]!r}") from None
    return Cron(f"{minute} {hour} {day_of_month} {month} {days}", zone).next(after)


def _as_cron_counts(days: str) -> str:
    """Days of the week, of which Monday is 0, as cron has them, of which it is 1."""
    if days.startswith("*") or re.search("[A-Za-z]", days):
        return days
    chosen: set[int] = set()
    for part in days.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        end = int(last or first) if last or not step else 6
        if not 0 <= int(first) <= end <= 6:
            raise ValueError
        chosen.update(range(int(first), end + 1, int(step or 1)))
    return ",".join(str((day + 1) % 7) for day in sorted(chosen))


def zone_of(name: str) -> tzinfo:
    """The time zone of that name; without one, the system's.

    Raises:
        ValueError: there is none.
    """
    name = name or _system_zone()
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name[:LONGEST]!r} is no time zone; there are such as 'Europe/Berlin'") from None


def _system_zone() -> str:
    """The name of the system's time zone: from `$TZ`, or from where /etc/localtime leads."""
    name = os.environ.get("TZ", "").lstrip(":") or os.path.realpath("/etc/localtime")
    name = name.rpartition(_ZONES_AT)[2]
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return "UTC"
    return name
