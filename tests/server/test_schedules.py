"""Recurring schedules: what runs when, what becomes of runs that were missed, and what survives."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from geartrain.broker import Broker, Peer
from geartrain.broker.records import Document
from geartrain.server.schedules import Schedules
from geartrain.wire import packets as p

DAY = 86400.0
HOUR = 3600.0


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


class Clockwork:
    """A broker and its schedules under a clock of their own, with restarts."""

    def __init__(self, wall: float, configured: dict[str, dict[str, Any]] | None = None) -> None:
        self.wall = wall
        self.documents: dict[tuple[str, str], bytes] = {}
        self.start(configured)

    def start(self, configured: dict[str, dict[str, Any]] | None = None) -> None:
        """A server starts, with what the last one committed but for the jobs."""
        self.broker = Broker("here", 1, wall=self.wall, durable=True)
        self.schedules = Schedules(self.broker, "UTC")
        documents = [Document(kind, key, value) for (kind, key), value in self.documents.items()]
        self.schedules.restore(documents, configured or {}, self.wall)
        self.peer = Peer()
        self.broker.connect(self.peer)
        self.commit()

    def commit(self) -> None:
        while self.broker.commit_is_due:
            for key, value in self.broker.take_batch().documents.items():
                if value is None:
                    self.documents.pop(key, None)
                else:
                    self.documents[key] = value
            self.broker.committed()

    def ask(self, action: str, **workload: object) -> Any:
        """Have the server do one of its own functions; ValueError if it ends with an exception."""
        self.peer.wants_exceptions = True
        body = b"geartrain.schedule.%b\0\0%b" % (action.encode(), json.dumps(workload).encode())
        self.broker.receive(self.peer, p.SUBMIT_JOB, body)
        self.commit()
        answer = b"".join(self.peer.outbox)
        self.peer.outbox.clear()
        answer = answer[12 + int.from_bytes(answer[8:12], "big") :]
        data = answer[12:].partition(b"\0")[2]
        if answer[7] == p.WORK_EXCEPTION:
            raise ValueError(data.decode())
        return json.loads(data)

    def add(self, cron: str = "0 3 * * *", **settings: object) -> None:
        self.ask("add", name="s", cron=cron, function="report", **settings)

    def tick(self) -> None:
        self.broker.tick(0.0, self.wall)
        self.schedules.tick(self.wall)

    def go(self, seconds: float, step: float = 30.0) -> int:
        """Let time pass, and return how many jobs there are more than before."""
        before = len(self.broker.jobs)
        end = self.wall + seconds
        while self.wall < end:
            self.wall = min(self.wall + step, end)
            self.tick()
        return len(self.broker.jobs) - before

    def jump(self, seconds: float) -> int:
        """Somebody sets the clock."""
        return self.go(seconds, seconds) if seconds > 0 else self._set_back(seconds)

    def _set_back(self, seconds: float) -> int:
        before = len(self.broker.jobs)
        self.wall += seconds
        self.tick()
        return len(self.broker.jobs) - before


@pytest.fixture
def clock() -> Clockwork:
    return Clockwork(at("2026-01-08 12:00"))


def test_a_schedule_submits_its_job_when_its_time_comes_and_not_before(clock: Clockwork) -> None:
    clock.add(workload="all of it", unique="u", priority="high")
    assert clock.go(15 * HOUR - 30) == 0
    assert clock.go(30) == 1
    (job,) = clock.broker.jobs.by_handle.values()
    assert (job.function.name, job.workload, job.unique, job.priority) == (b"report", b"all of it", b"u", 0)
    assert job.background
    assert clock.go(23 * HOUR) == 0
    (shown,) = clock.ask("list")
    assert shown["last"] == at("2026-01-09 03:00")
    assert shown["next"] == at("2026-01-10 03:00")
    assert shown["handle"] == job.handle.decode()


def test_a_run_and_the_note_of_it_are_in_one_commit(clock: Clockwork) -> None:
    clock.add()
    clock.wall = at("2026-01-09 03:00")
    clock.tick()
    batch = clock.broker.take_batch()
    assert len(batch.saved) == 1
    assert json.loads(batch.documents["schedule", "s"] or b"")["last"] == at("2026-01-09 03:00")


def test_a_run_whose_commit_failed_is_made_once_more(clock: Clockwork) -> None:
    clock.add()
    clock.wall = at("2026-01-09 03:00")
    clock.tick()
    clock.broker.take_batch()
    clock.schedules.refused(clock.broker.refused("the disk is full"))
    # In one batch with the note of it.
    assert len(clock.broker.jobs) == 1
    assert clock.go(0.1) == 0
    clock.commit()
    assert json.loads(clock.documents["schedule", "s"])["last"] == at("2026-01-09 03:00")
    assert clock.go(60) == 0


def test_each_run_whose_commit_failed_is_made_once_more_whatever_was_made_since(clock: Clockwork) -> None:
    clock.add("* * * * *", overlap="allow")
    assert clock.go(60) == 1
    clock.broker.take_batch()
    assert clock.go(60) == 1
    clock.schedules.refused(clock.broker.refused("the disk is full"))
    assert len(clock.broker.jobs) == 2
    clock.commit()
    assert clock.go(0.1) == 0
    assert json.loads(clock.documents["schedule", "s"])["last"] == at("2026-01-08 12:02")


def test_runs_of_a_schedule_that_was_removed_are_not_made_once_more(clock: Clockwork) -> None:
    clock.add("* * * * *")
    assert clock.go(60) == 1
    clock.broker.take_batch()
    clock.broker.receive(clock.peer, p.SUBMIT_JOB, b'geartrain.schedule.remove\0\0{"name": "s"}')
    clock.schedules.refused(clock.broker.refused("the disk is full"))
    assert len(clock.broker.jobs) == 0


@pytest.mark.parametrize(("missed", "made"), [("once", 1), ("skip", 0), ("all", 3)])
def test_runs_missed_while_the_server_was_down(clock: Clockwork, missed: str, made: int) -> None:
    clock.add(missed=missed)
    clock.wall += 3 * DAY
    clock.start()
    assert clock.go(0.1) == made
    assert clock.go(14 * HOUR) == 0
    assert clock.go(2 * HOUR) == (made == 0)  # the next day's: if the earlier ones are not in its way


def test_a_restart_between_two_runs_misses_nothing_and_repeats_nothing(clock: Clockwork) -> None:
    clock.add(missed="all", overlap="allow")
    clock.wall = at("2026-01-09 03:00")
    clock.tick()
    clock.commit()
    clock.wall += 5
    clock.start()
    assert clock.go(HOUR) == 0


def test_a_job_that_has_not_ended_keeps_the_next_run_out_unless_overlap_is_allowed(clock: Clockwork) -> None:
    clock.add("*/5 * * * *")
    assert clock.go(HOUR) == 1
    clock.add("*/5 * * * *", overlap="allow", replace=True)
    assert clock.go(HOUR) == 12


def test_a_pause_is_no_absence(clock: Clockwork) -> None:
    clock.add(missed="all")
    clock.ask("pause", name="s")
    assert clock.go(3 * DAY, HOUR) == 0
    clock.start()
    assert clock.ask("list")[0]["state"] == "paused"
    clock.ask("resume", name="s")
    assert clock.go(14 * HOUR) == 0
    assert clock.go(2 * HOUR) == 1


def test_what_was_removed_runs_no_more(clock: Clockwork) -> None:
    clock.add()
    clock.ask("remove", name="s")
    assert clock.go(3 * DAY, HOUR) == 0
    clock.start()
    assert clock.ask("list") == []


def test_a_clock_that_is_set_forward_makes_what_it_passed_over_missed(clock: Clockwork) -> None:
    clock.add("0 * * * *", missed="once", overlap="allow")
    assert clock.jump(5.5 * HOUR) == 1
    assert clock.go(HOUR) == 1


def test_a_clock_that_is_set_back_a_little_repeats_nothing(clock: Clockwork) -> None:
    clock.add("0 * * * *", overlap="allow")
    assert clock.go(HOUR + 60) == 1
    assert clock.jump(-HOUR) == 0
    assert clock.go(HOUR - 60) == 0
    assert clock.go(HOUR) == 1


def test_a_clock_that_is_set_right_is_gone_by_at_once(clock: Clockwork) -> None:
    clock.add("0 * * * *", overlap="allow")
    assert clock.go(HOUR) == 1
    assert clock.jump(-30 * DAY) == 0
    assert clock.go(2 * HOUR) == 2


def test_a_clock_that_was_set_back_while_the_server_was_down_is_gone_by_too(clock: Clockwork) -> None:
    clock.add("0 * * * *", overlap="allow")
    clock.wall -= 30 * DAY
    clock.start()
    assert clock.go(2 * HOUR) == 2


def test_schedules_go_through_daylight_saving_changes(clock: Clockwork) -> None:
    for day in ("2026-03-29", "2026-10-25"):
        clock.wall = at(f"{day} 00:00", "Europe/Berlin")
        clock.tick()
        clock.add("30 2 * * *", tz="Europe/Berlin", overlap="allow", replace=True)
        assert clock.go(10 * HOUR) == 1
        assert clock.go(DAY) == 1


def test_a_schedule_of_the_configuration_belongs_to_it() -> None:
    settings = {"nightly": {"cron": "0 3 * * *", "function": "report"}}
    clock = Clockwork(at("2026-01-08 12:00"), settings)
    for action in ("remove", "add"):
        with pytest.raises(ValueError, match="in the configuration"):
            clock.ask(action, name="nightly", cron="0 4 * * *", function="f", replace=True)
    clock.ask("pause", name="nightly")
    clock.start(settings)
    assert clock.ask("list")[0]["state"] == "paused"
    clock.start({"nightly": {**settings["nightly"], "cron": "0 5 * * *"}})
    assert clock.ask("list")[0]["state"] == "active"
    clock.start({})
    assert clock.ask("list") == []
    assert not any(kind == "schedule" for kind, _ in clock.documents)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cron": "0 3 * *"},
        {"tz": "Nowhere"},
        {"function": ""},
        {"function": "f" * 1000},
        {"name": ""},
        {"missed": "perhaps"},
        {"overlap": "perhaps"},
        {"priority": "urgent"},
        {"workload_base64": "!"},
        {"unique": "u" * 100},
        {"color": "red"},
        {"cron": 3},
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_with_a_sentence(
    clock: Clockwork, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"schedule|name"):
        clock.ask("add", **{"name": "s", "cron": "0 3 * * *", "function": "report", **wrong})
    assert clock.ask("list") == []


def test_two_schedules_of_one_name_are_refused(clock: Clockwork) -> None:
    clock.add()
    with pytest.raises(ValueError, match="already"):
        clock.add()


def test_a_function_of_the_servers_own_is_not_scheduled(clock: Clockwork) -> None:
    with pytest.raises(ValueError, match=r"schedule 's': geartrain\.dead\.list is the server's own"):
        clock.schedules.restore(
            [], {"s": {"cron": "* * * * *", "function": "geartrain.dead.list"}}, clock.wall
        )
    with pytest.raises(ValueError, match=r"geartrain\.result is the server's own"):
        clock.ask("add", name="s", cron="* * * * *", function="geartrain.result")
