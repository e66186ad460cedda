"""Recurring schedules: jobs that the server itself submits when their time comes.

A run and the note that it was made are written in the same commit, so a restart neither loses nor repeats it.
Time comes in as an argument.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import structlog

from ..broker import Broker
from ..broker.builtins import json_object, take_text
from ..broker.limits import MAX_NAME, MAX_UNIQUE, Refused
from ..broker.quarantine import Quarantined
from ..broker.records import Document
from ..broker.state import HIGH, LOW, NORMAL
from .cron import Cron

KIND: Final = "schedule"
"""The kind of the journal's documents that hold schedules."""
LATE: Final = 60.0
"""Seconds after which a run that was not made counts as missed."""
MOST_MADE_UP: Final = 1000
"""Missed runs that are made up for at most, the latest ones."""
SET_BACK: Final = 3 * 3600.0
"""Seconds from which on a clock that went back was set right, and schedules go by the new time at once. When
it goes back by less, nothing runs until the time that was reached before, so that nothing runs twice."""

SETTINGS: Final = frozenset(
    ("cron", "tz", "function", "workload", "workload_base64", "unique", "priority", "missed", "overlap")
)
MISSED: Final = ("once", "skip", "all")
OVERLAP: Final = ("skip", "allow")
MOST: Final = 10_000
"""Schedules that can be added at run time."""
PRIORITIES: Final = {"high": HIGH, "normal": NORMAL, "low": LOW}

_log = structlog.get_logger("geartrain.schedules")


class Schedule:
    """One of them.

    Args:
        name: what it is called by.
        settings: `cron` and `function`, and any of `tz` (empty: the system's time zone), `workload` or
            `workload_base64`, `unique`, `priority`, `missed`: what becomes of runs that were missed while the
            server was down (`once` for all of them, `skip`, or `all` of them), and `overlap`: what becomes of
            a run while the job of an earlier one has not ended (`skip` or `allow`).

    Raises:
        ValueError: one of them can't be understood.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], zone: str = "") -> None:
        for key, value in settings.items():
            if key not in SETTINGS:
                raise ValueError(f"schedule {name!r}: {key!r} is no setting of a schedule")
            if not isinstance(value, str):
                raise ValueError(f"schedule {name!r}: {key}: expected text, got {value!r}")
        self.name = name
        self.function = settings.get("function", "")
        if not name or not self.function:
            raise ValueError(f"schedule {name!r}: a name and a 'function' are needed")
        if len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(
                f"schedule {name[:MAX_NAME]!r}: a name is {MAX_NAME} characters at most, and text"
            )
        if len(self.function.encode("utf-8", "surrogateescape")) > MAX_NAME:
            raise ValueError(f"schedule {name!r}: the function's name is too long")
        try:
            self.cron = Cron(settings.get("cron", ""), settings.get("tz") or zone)
            self.workload = (
                base64.b64decode(settings["workload_base64"], validate=True)
                if "workload_base64" in settings
                else settings.get("workload", "").encode("utf-8", "surrogateescape")
            )
        except ValueError as error:
            raise ValueError(f"schedule {name!r}: {error}") from None
        self.unique = settings.get("unique", "")
        if len(self.unique.encode("utf-8", "surrogateescape")) > MAX_UNIQUE:
            raise ValueError(f"schedule {name!r}: the unique is too long")
        self.priority = _one_of(name, settings, "priority", "normal", PRIORITIES)
        self.missed = _one_of(name, settings, "missed", "once", MISSED)
        self.overlap = _one_of(name, settings, "overlap", "skip", OVERLAP)
        self._tz = settings.get("tz", "")
        self.is_configured = False
        self.paused = False
        # The last run that was made or passed over, the next one, and the job of the last that was made.
        self.last = 0.0
        self.next = 0.0
        self.handle = ""

    def settings(self) -> dict[str, str]:
        """What it was made from."""
        found = {"cron": self.cron.expression, "function": self.function}
        for key in ("unique", "priority", "missed", "overlap"):
            found[key] = getattr(self, key)
        if self._tz:
            found["tz"] = self._tz
        try:
            found["workload"] = self.workload.decode()
        except UnicodeDecodeError:
            found["workload_base64"] = base64.b64encode(self.workload).decode()
        return found

    def begin(self, wall: float) -> None:
        """Nothing before this time is of interest."""
        self.last = wall
        self.next = self.cron.next(wall)

    def describe(self) -> dict[str, Any]:
        """What `geartrain.schedule.list` says of it."""
        return {
            "name": self.name,
            **self.settings(),
            "state": "paused" if self.paused else "active",
            "configured": self.is_configured,
            "last": self.last,
            "next": None if self.paused else self.next,
            "handle": self.handle,
        }

    def document(self) -> Document:
        """As the journal keeps it."""
        state = {
            "settings": self.settings(),
            "configured": self.is_configured,
            "paused": self.paused,
            "last": self.last,
            "handle": self.handle,
        }
        return Document(KIND, self.name, json.dumps(state).encode())


class Schedules:
    """All schedules of one server.

    Args:
        broker: where the jobs go; it learns the functions `geartrain.schedule.…`.
        zone: the time zone of schedules that name none; empty: the system's.
    """

    def __init__(self, broker: Broker, zone: str = "") -> None:
        self._broker = broker
        self._zone = zone
        self._schedules: dict[str, Schedule] = {}
        self._next = 0.0
        self._wall = 0.0
        # Whose runs are not durable yet, by the handles of their jobs: should their commit fail, they are
        # made once more.
        self._made: dict[bytes, str] = {}
        actions: dict[str, Callable[[bytes], Any]] = {
            "list": lambda workload: self._list(),
            "add": self._add,
            "remove": self._remove,
            "pause": lambda workload: self._pause(workload, True),
            "resume": lambda workload: self._pause(workload, False),
        }
        for name, action in actions.items():
            broker.builtins.register(f"geartrain.schedule.{name}", action)

    def restore(
        self, documents: Iterable[Document], configured: Mapping[str, Mapping[str, Any]], wall: float
    ) -> None:
        """Take up what the journal kept, and what the configuration says, which goes before.

        Raises:
            ValueError: a schedule of the configuration can't be understood.
        """
        self._wall = wall
        kept = {document.key: document for document in documents if document.kind == KIND}
        for name, settings in configured.items():
            schedule = self._make(name, settings)
            schedule.is_configured = True
            schedule.begin(wall)
            self._schedules[name] = schedule
            document = kept.pop(name, None)
            if document is not None:
                # What can't be understood of its past is forgotten: the configuration says what it is.
                with contextlib.suppress(ValueError):
                    state = _State.load(document.value)
                    if state.settings == schedule.settings():
                        self._take_up(schedule, state)
            self._keep(schedule)
        for document in kept.values():
            try:
                self._restore_added(document)
            except ValueError as error:
                self._broker.quarantine.add(*document, str(error))

    def _restore_added(self, document: Document) -> None:
        """Take up a schedule that was added at run time.

        Raises:
            ValueError: it can't be understood.
        """
        name = document.key
        state = _State.load(document.value)
        if state.configured:  # and is in the configuration no more
            self._broker.forget_document(KIND, name)
            return
        schedule = self._make(name, state.settings)
        self._take_up(schedule, state)
        self._schedules[name] = schedule

    def _make(self, name: str, settings: Mapping[str, Any]) -> Schedule:
        schedule = Schedule(name, settings, self._zone)
        if self._broker.builtins.knows(schedule.function.encode("utf-8", "surrogateescape")):
            raise ValueError(f"schedule {name!r}: {schedule.function} is the server's own, and no job")
        return schedule

    def _take_up(self, schedule: Schedule, state: _State) -> None:
        schedule.begin(state.last)
        schedule.paused = state.paused
        schedule.handle = state.handle

    def _keep(self, schedule: Schedule) -> None:
        self._broker.keep(schedule.document())

    # Time

    def tick(self, wall: float) -> None:
        """Submit the jobs whose time has come."""
        was_set_back = wall < self._wall - SET_BACK
        self._wall = wall
        if wall < self._next and not was_set_back:
            return
        for schedule in list(self._schedules.values()):
            if schedule.paused:
                continue
            try:
                if schedule.last > wall + SET_BACK:
                    schedule.begin(wall)
                    self._keep(schedule)
                elif schedule.next <= wall:
                    self._run(schedule, wall)
            except ValueError as error:
                self._quarantine(schedule, str(error))
        waits = self._broker.waits_for_commit
        self._made = {handle: name for handle, name in self._made.items() if waits(handle)}
        self._plan()

    def _quarantine(self, schedule: Schedule, reason: str) -> None:
        """Let a schedule rest that has no next run; the others go on."""
        _log.error("a schedule can't go on", schedule=schedule.name, reason=reason)
        del self._schedules[schedule.name]
        document = schedule.document()
        self._keep(schedule)
        self._broker.quarantine.add(*document, reason)

    def _plan(self) -> None:
        """Look up when the next of them is due."""
        active = (schedule.next for schedule in self._schedules.values() if not schedule.paused)
        self._next = min(active, default=float("inf"))

    def _run(self, schedule: Schedule, wall: float) -> None:
        due, following = schedule.cron.between(schedule.last, wall, MOST_MADE_UP)
        is_late = due[-1] < wall - LATE
        schedule.last = due[-1]
        schedule.next = following
        if schedule.missed == "skip":
            due = [] if is_late else due[-1:]
        elif schedule.missed == "once":
            due = due[-1:]
        if schedule.overlap == "skip" and self._is_live(schedule.handle):
            _log.warning("a run is left out: the last one has not ended", schedule=schedule.name)
            due = []
        for _ in due:
            self._submit(schedule)
        self._keep(schedule)

    def _submit(self, schedule: Schedule) -> None:
        try:
            job = self._broker.submissions.queue(
                schedule.function.encode("utf-8", "surrogateescape"),
                schedule.workload,
                unique=schedule.unique.encode("utf-8", "surrogateescape"),
                priority=PRIORITIES[schedule.priority],
            )
        except Refused as refused:
            _log.error("a run is left out", schedule=schedule.name, reason=refused.text.decode())
            return
        schedule.handle = job.handle.decode()
        self._made[job.handle] = schedule.name
        _log.debug("a schedule ran", schedule=schedule.name, handle=schedule.handle)

    def _is_live(self, handle: str) -> bool:
        return bool(handle) and handle.encode() in self._broker.jobs.by_handle

    def refused(self, handles: set[bytes]) -> None:
        """The commit that held these jobs failed: the runs among them are made once more.

        At once, so that they are in one batch with the note of them, which waits for the next commit too.
        """
        for handle in [handle for handle in self._made if handle in handles]:
            schedule = self._schedules.get(self._made.pop(handle))
            if schedule is None:
                continue
            self._submit(schedule)
            self._keep(schedule)

    # What can be asked for

    def _list(self) -> list[dict[str, Any]]:
        found = [schedule.describe() for schedule in self._schedules.values()]
        found += [_describe_unusable(item) for item in self._broker.quarantine.of(KIND).values()]
        return sorted(found, key=lambda schedule: str(schedule["name"]))

    def _add(self, workload: bytes) -> Any:
        """`{"name": …, "cron": …, "function": …, …}`, with `"replace": true` for one that is there."""
        wanted = json_object(workload)
        name = take_text(wanted, "name")
        is_replaced = wanted.pop("replace", False) is True
        old = self._schedules.get(name)
        if old is not None and old.is_configured:
            raise ValueError(f"schedule {name!r} is in the configuration: change it there")
        if old is not None or self._broker.quarantine.get(KIND, name) is not None:
            if not is_replaced:
                raise ValueError(f"there is a schedule {name!r} already: remove or replace it")
        elif len(self._schedules) >= MOST:
            raise ValueError(f"there are {MOST} schedules already: remove some")
        settings = {key: value for key, value in wanted.items() if value is not None}
        schedule = self._make(name, settings)
        schedule.begin(self._wall)
        self._schedules[name] = schedule
        self._forget_runs(name)
        self._keep(schedule)
        self._plan()
        return schedule.describe()

    def _remove(self, workload: bytes) -> Any:
        """`{"name": …}`: it runs no more; jobs that it submitted stay."""
        name = take_text(json_object(workload), "name")
        if self._broker.quarantine.get(KIND, name) is not None:
            self._broker.forget_document(KIND, name)
            return {"removed": name}
        schedule = self._find(name)
        if schedule.is_configured:
            raise ValueError(f"schedule {schedule.name!r} is in the configuration: remove it there")
        del self._schedules[schedule.name]
        self._forget_runs(schedule.name)
        self._broker.forget_document(KIND, schedule.name)
        self._plan()
        return {"removed": schedule.name}

    def _forget_runs(self, name: str) -> None:
        self._made = {handle: of for handle, of in self._made.items() if of != name}

    def _pause(self, workload: bytes, paused: bool) -> Any:
        """`{"name": …}`: runs that fall into a pause are not missed."""
        name = take_text(json_object(workload), "name")
        unusable = self._broker.quarantine.get(KIND, name)
        if unusable is not None:
            if paused:
                raise ValueError(f"schedule {name!r} does not run: {unusable.reason}")
            # What it lacked may be there by now, such as the data of its time zone.
            self._restore_added(Document(KIND, name, unusable.value))
            self._broker.quarantine.release(KIND, name)
        schedule = self._find(name)
        if schedule.paused and not paused:
            schedule.begin(self._wall)
        schedule.paused = paused
        self._keep(schedule)
        self._plan()
        return schedule.describe()

    def _find(self, name: str) -> Schedule:
        schedule = self._schedules.get(name)
        if schedule is None:
            raise ValueError(f"there is no schedule {name!r}")
        return schedule


class _State(NamedTuple):
    """A schedule as its document has it."""

    settings: dict[str, Any]
    configured: bool
    paused: bool
    last: float
    handle: str

    @classmethod
    def load(cls, value: bytes) -> _State:
        """Read what `Schedule.document` wrote.

        Raises:
            ValueError: it was not.
        """
        try:
            found = json.loads(value)
            state = cls(*[found[name] for name in cls._fields])
        except (ValueError, LookupError, TypeError, RecursionError):
            raise ValueError("the stored schedule can't be read") from None
        for field, types in (
            (state.settings, dict),
            (state.configured, bool),
            (state.paused, bool),
            (state.last, int | float),
            (state.handle, str),
        ):
            if not isinstance(field, types) or field != field:  # NaN is no time
                raise ValueError("the stored schedule can't be read")
        return state


def _describe_unusable(item: Quarantined) -> dict[str, Any]:
    """Return what `geartrain.schedule.list` says of a schedule that can't be used."""
    try:
        state = _State.load(item.value)
    except ValueError:
        state = _State({}, False, False, 0.0, "")
    return {
        "cron": "",
        "function": "",
        **state.settings,
        "name": item.key,
        "state": "unusable",
        "error": item.reason,
        "configured": state.configured,
        "last": state.last,
        "next": None,
        "handle": state.handle,
    }


def _one_of(name: str, settings: Mapping[str, str], key: str, default: str, choices: Iterable[str]) -> str:
    value = settings.get(key, default)
    if value not in choices:
        raise ValueError(f"schedule {name!r}: {key}: expected one of {', '.join(choices)}, got {value!r}")
    return value
