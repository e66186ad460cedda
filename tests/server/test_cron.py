"""When something is to run: zones, both changes of daylight saving time, the fields of SUBMIT_JOB_SCHED."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from geartrain.server.cron import Cron, next_time, zone_of

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def runs(expression: str, after: str, until: str, zone: str = BERLIN) -> list[float]:
    return Cron(expression, zone).between(at(after, zone), at(until, zone), 10_000)[0]


def test_a_time_of_day_is_that_of_the_zone() -> None:
    assert Cron("0 3 * * *", BERLIN).next(at("2026-01-10 02:59")) == at("2026-01-10 03:00")
    assert Cron("0 3 * * *", BERLIN).next(at("2026-01-10 03:00")) == at("2026-01-11 03:00")
    assert Cron("0 3 * * *", "UTC").next(at("2026-01-10 03:00")) == at("2026-01-10 03:00", "UTC")
    assert Cron("30 9 * * mon-fri", "Asia/Kolkata").next(at("2026-01-09 10:00", "Asia/Kolkata")) == at(
        "2026-01-12 09:30", "Asia/Kolkata"
    )


def test_what_falls_into_the_hour_that_is_left_out_runs_right_after_it() -> None:
    # Clocks in Berlin go from 2:00 to 3:00 on 2026-03-29.
    found = runs("30 2 * * *", "2026-03-28 12:00", "2026-03-30 12:00")
    assert found == [at("2026-03-29 03:00"), at("2026-03-30 02:30")]


def test_what_falls_into_the_hour_that_comes_twice_runs_once() -> None:
    # Clocks in Berlin go from 3:00 to 2:00 on 2026-10-25.
    found = runs("30 2 * * *", "2026-10-24 12:00", "2026-10-26 12:00")
    assert found == [at("2026-10-25 02:30"), at("2026-10-26 02:30")]
    within_the_second = at("2026-10-25 02:20", fold=1)
    assert Cron("30 2 * * *", BERLIN).next(within_the_second) == at("2026-10-26 02:30")


def test_what_runs_every_quarter_of_an_hour_runs_through_both_changes() -> None:
    for day in ("2026-03-29", "2026-10-25"):
        found = runs("*/15 * * * *", f"{day} 00:00", f"{day} 12:00")
        assert {later - earlier for earlier, later in pairwise(found)} == {900.0}


@pytest.mark.parametrize(
    "expression", ["0 3 * * *", "30 2 * * *", "*/10 * * * *", "0 0 31 * *", "15 10 * * 1"]
)
def test_time_never_goes_back_and_nothing_comes_twice(expression: str) -> None:
    cron = Cron(expression, BERLIN)
    time = at("2026-03-28 00:00")
    for _ in range(500):
        following = cron.next(time)
        assert following > time
        time = following


def test_of_very_many_times_the_latest_are_found() -> None:
    times, following = Cron("* * * * *", "UTC").between(0.0, 10 * 365 * 86400.0, 100)
    assert len(times) == 100
    assert times[-1] == 10 * 365 * 86400.0
    assert following == times[-1] + 60
    assert times == sorted(times)


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "60 * * * *", "0 0 30 2 *", "x" * 1000, "0 0 0 * *", "1-0 * * * *"],
)
def test_an_expression_that_makes_no_sense_is_refused_with_a_sentence(expression: str) -> None:
    with pytest.raises(ValueError, match=r"expected five fields|bad|never comes"):
        Cron(expression, "UTC")


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "Europe", "x" * 1000])
def test_a_zone_that_there_is_not_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zone_of(zone)


def test_without_a_name_the_zone_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", BERLIN)
    assert str(zone_of("")) == BERLIN
    monkeypatch.setenv("TZ", "nonsense")
    assert str(zone_of("")) == "UTC"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("0|3|||", "2026-01-09 03:00"),
        ("0|3|*|*|0", "2026-01-12 03:00"),  # Monday
        ("0|3|*|*|6", "2026-01-11 03:00"),  # Sunday
        ("30|12|24|12|", "2026-12-24 12:30"),
        ("*/20|*|*|*|*", "2026-01-08 12:20"),
        ("0|0|*|*|4-6", "2026-01-09 00:00"),  # from Friday on
        ("0|0|*|*|0-6/2", "2026-01-09 00:00"),
    ],
)
def test_the_fields_of_the_protocol_count_days_from_monday(fields: str, expected: str) -> None:
    # 2026-01-08 is a Thursday.
    parts = [part.encode() for part in fields.split("|")]
    assert next_time(parts, at("2026-01-08 12:00"), BERLIN) == at(expected)


@pytest.mark.parametrize(
    "fields", ["0|0|*|*|7", "0|0|*|*|5-2", "0|0|*|*|a", "99|0|*|*|*", "0|0|30|2|*", "\xff||||"]
)
def test_fields_that_describe_no_time_are_refused(fields: str) -> None:
    with pytest.raises(ValueError, match=r"day of week|bad|never comes|five fields"):
        next_time([part.encode("latin-1") for part in fields.split("|")], 0.0, "UTC")


def test_words_and_intervals_stand_for_expressions() -> None:
    assert Cron("@daily", BERLIN).next(at("2026-01-10 02:59")) == at("2026-01-11 00:00")
    assert Cron("@Hourly", BERLIN).next(at("2026-01-10 02:59")) == at("2026-01-10 03:00")
    assert Cron("@weekly", BERLIN).next(at("2026-01-10 02:59")) == at("2026-01-11 00:00")
    assert Cron("@monthly", BERLIN).next(at("2026-01-10 02:59")) == at("2026-02-01 00:00")
    assert Cron("@yearly", BERLIN).next(at("2026-01-10 02:59")) == at("2027-01-01 00:00")
    every = Cron("@every 5m", BERLIN)
    assert every.expression == "@every 5m"
    assert every.next(1000.0) == 1200.0
    assert every.next(1200.0) == 1500.0
    assert every.between(0.0, 3000.0, 3) == ([2400.0, 2700.0, 3000.0], 3300.0)
    assert every.between(2400.0, 3000.0, 3) == ([2700.0, 3000.0], 3300.0)
    assert Cron("@every 90m").next(0.0) == 5400.0


@pytest.mark.parametrize(
    "expression", ["@reboot", "@every", "@every 0s", "@every 100ms", "@every soon", "@fortnightly"]
)
def test_other_words_are_refused_by_name(expression: str) -> None:
    with pytest.raises(ValueError, match=r"expected|shortest"):
        Cron(expression)
