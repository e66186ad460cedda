"""Parsers of text that people and files give: a value, or one named error, whatever comes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geartrain import Task
from geartrain.broker.policy import Policy
from geartrain.server.config import _FIELDS, _KINDS, Settings
from geartrain.server.cron import Cron, next_time
from geartrain.units import MAX_EPOCH, MAX_SECONDS, MAX_SIZE, parse_seconds, parse_size
from geartrain.wire.address import parse_address
from geartrain.wire.codec import leading_int
from tests.harness.servers import geartrain


def sentence(error: ValueError) -> str:
    """The text of an error, which is there and no longer than a person reads."""
    text = str(error)
    assert 0 < len(text) < 500
    return text


GEARTRAIN = (sys.executable, "-m", "geartrain")

NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.decimals(),
    st.sampled_from(["9" * 400, "1e400", "nan", "inf", "-inf", "-0", "٣", "²", "0x10", "1_000", " 1 ", ""]),
).map(str)
UNITS = st.sampled_from(
    ["", "ms", "s", "m", "h", "d", "w", "K", "MB", "MiB", "T", "TiB", "YB", " s", "S", "\0"]
)
TEXTS = st.one_of(st.text(), st.builds("{}{}".format, NUMBERS, UNITS), st.text("0123456789.:/-*,[]@ smhd"))
CRONS = st.one_of(
    TEXTS,
    st.lists(
        st.one_of(st.text("0123456789*/,-LW#?", max_size=12), st.sampled_from(["mon", "jan-dec", "*/5"])),
        min_size=5,
        max_size=5,
    ).map(" ".join),
    st.builds("@{}{}".format, st.sampled_from(["every ", "daily", "hourly", "reboot", "every"]), TEXTS),
)


@settings(max_examples=500, deadline=None)
@given(TEXTS | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.integers()))
@example(10**5000)
@example("9" * 5000 + "T")
def test_times_and_sizes_are_within_their_bounds_or_refused(value: Any) -> None:
    for parse, most in ((parse_seconds, MAX_SECONDS), (parse_size, MAX_SIZE)):
        try:
            found = parse(value)
        except ValueError as refused:
            sentence(refused)
        else:
            assert 0 <= found <= most


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["timeout", "rate", "backoff", "max_attempts", "retry", "keep_results"]), TEXTS)
def test_a_policy_takes_a_value_or_names_it(key: str, value: str) -> None:
    policy = Policy()
    try:
        policy.update({key: value})
    except ValueError as refused:
        sentence(refused)
    else:
        again = Policy()
        again.update(policy.settings())


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([("port",), ("backlog",), ("limits", "packet"), ("timeouts", "idle"), ("keep_results",)]),
    TEXTS,
)
def test_a_setting_takes_a_value_or_names_it(key: tuple[str, ...], value: str) -> None:
    try:
        Settings().set_text(key, value, "test")
    except ValueError as refused:
        named = f"test: {'.'.join(key)}: " in sentence(refused)
        assert named


@settings(max_examples=500, deadline=None)
@given(CRONS)
@example("0-99999999999 * * * *")
@example("*/99999999999999999999 * * * *")
@example("@every 0.0000001s")
def test_a_cron_expression_has_a_next_time_or_is_refused(expression: str) -> None:
    try:
        cron = Cron(expression, "UTC")
    except ValueError as refused:
        sentence(refused)
        return
    following = cron.next(1_700_000_000.0)
    assert following > 1_700_000_000
    times, after = cron.between(1_600_000_000.0, 1_700_000_000.0, 10)
    assert len(times) <= 10
    assert times == sorted(times)
    assert after > 1_700_000_000


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=20), min_size=5, max_size=5))
def test_the_five_fields_of_a_packet_have_a_next_time_or_are_refused(fields: list[bytes]) -> None:
    try:
        assert next_time(fields, 1_700_000_000.0, "UTC") > 1_700_000_000
    except ValueError as refused:
        sentence(refused)


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(TEXTS, st.builds("{}{}".format, st.sampled_from(["unix:", "tls:", "[", "[::1]:", "h:"]), TEXTS))
)
@example("]::")
@example(":]:")
@example("::]")
@example("[unix]:5")
@example("tls")
@example("unix")
@example("tls:unix:/x")
@example("a:b:c")
@example("[::1%eth0]:5")
@example("unix:/" + "x" * 108)
@example("host:" + "9" * 5000)
def test_an_address_is_read_back_as_it_is_shown_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError as refused:
        sentence(refused)
    else:
        assert parse_address(str(address)) == address
        assert 0 <= address.port <= 65535


@given(st.binary())
@example(b"-")
@example(b"9" * 30)
@example(b" +12.5")
def test_a_number_of_a_packet_is_what_c_reads(text: bytes) -> None:
    assert abs(leading_int(text)) < 10**19
    assert leading_int(b" -12junk") == -12


@pytest.mark.parametrize(
    "at", [float("nan"), float("inf"), 1e300, MAX_EPOCH + 1.0, datetime.max.replace(tzinfo=None)]
)
def test_a_task_for_no_calendar_is_refused_with_a_sentence(at: Any) -> None:
    if isinstance(at, datetime):
        Task("f", background=True, at=at.replace(year=9999, month=1))
        return
    with pytest.raises(ValueError, match="after the year 9999"):
        Task("f", background=True, at=at)


def test_a_task_for_the_past_is_due_at_once() -> None:
    assert Task("f", background=True, at=datetime(1, 1, 1)).at == 0
    assert Task("f", background=True, at=datetime(1999, 1, 1, tzinfo=UTC)).at == 915148800
    assert Task("f", background=True, at=-5).at == 0
    with pytest.raises(TypeError, match="at: "):
        Task("f", background=True, at="tomorrow")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", "f", "--background", "--at", "+99999999999d"],
        ["submit", "f", "--background", "--at", "0001-01-01"],
        ["submit", "f", "--background", "--at", "9999-12-31T23:59:59-23:00"],
        ["submit", "f", "--background", "--at", "+" + "9" * 5000],
        ["submit", "f", "--background", "--at", "nan"],
        ["submit", "f", "--timeout", "inf"],
        ["submit", "f", "--timeout", "0"],
        ["submit", "f", "--timeout", "1e999"],
        ["status", "--watch", "nan"],
        ["status", "--watch", "inf"],
        ["status", "--watch", "0"],
        ["work", "--shell", "f=true", "--grace", "nan"],
        ["work", "--shell", "f=true", "--grace", "1e30"],
        ["work", "--shell", "f=true", "--timeout", "9999999999d"],
        ["work", "--shell", "f=true", "--max-memory", "9" * 400 + "T"],
        ["work", "--shell", "f=true", "--max-memory", "0"],
        ["ping", "--timeout", "-1"],
        ["serve", "--set", "timeouts.idle=1e400"],
        ["serve", "--set", "limits.packet=" + "9" * 400 + "T"],
        ["serve", "--listen", "unix:/" + "x" * 200],
        ["serve", "--set", "backlog=99999999999"],
        ["serve", "--set", "keepalive.idle=100000"],
        ["serve", "--set", "keepalive.probes=99999999999"],
        ["serve", "--listen", "a b"],
        ["serve", "--listen", "[::1"],
        ["serve", "--listen", "::]"],
        ["serve", "--listen", "tls:unix:/tmp/x"],
        ["status", "--server", "http://host:4730"],
        ["status", "--server", "unix:/" + "x" * 200],
        ["status", "--server", "host:99999"],
    ],
    ids=lambda arguments: " ".join(arguments)[:60],
)
def test_a_value_in_no_range_ends_a_command_with_a_sentence_and_code_2(arguments: list[str]) -> None:
    done = subprocess.run([*GEARTRAIN, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert done.stderr.strip()


def test_a_server_starts_with_the_largest_values_of_its_settings() -> None:
    arguments = []
    for key, field in _FIELDS.items():
        name, kind, unit = ".".join(key), _KINDS[key], field.metadata["unit"]
        if name == "port" or kind not in (int, float):
            continue
        largest = field.metadata["most"] or {"seconds": int(MAX_SECONDS) - 1, "bytes": MAX_SIZE}.get(
            unit, 10**30
        )
        arguments.append(f"--set={name}={largest}")
    assert len(arguments) > 20
    with geartrain(*arguments) as server, server.connect() as peer:
        peer.submit("f")
        peer.sync()


def test_sizes_mean_the_same_for_workers_and_servers() -> None:
    from geartrain.cli.times import read_size

    for text in ("512MB", "512M", "512MiB", "1.5g", "64 kib"):
        assert read_size(text) == parse_size(text)
    assert (parse_size("512MB"), parse_size("512M")) == (512_000_000, 536_870_912)
