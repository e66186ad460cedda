"""Stored items that can't be used: they are named, replaceable and removable, and the others are served."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geartrain.broker.history import History, dump_history, load_history
from geartrain.broker.records import DEAD, QUEUED, Batch, Document, JobRecord
from geartrain.journal.file import JournalFile
from tests.cli.command import run_here as run
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, geartrain

SCHEDULE: dict[str, Any] = {
    "settings": {"cron": "0 3 * * *", "function": "f", "tz": "UTC"},
    "configured": False,
    "paused": False,
    "last": 1e9,
    "handle": "",
}


def schedule(key: str, **changes: Any) -> Document:
    """A stored schedule that can't be used for one reason."""
    of_schedule = ("last", "paused", "handle")
    settings = {name: value for name, value in changes.items() if name not in of_schedule}
    others = {name: value for name, value in changes.items() if name in of_schedule}
    stored = {**SCHEDULE, "settings": {**SCHEDULE["settings"], **settings}, **others}
    return Document("schedule", key, json.dumps(stored).encode())


UNUSABLE = [
    schedule("zone", tz="Mars/Base"),
    schedule("cron", cron="x"),
    schedule("newer", jitter="5s"),
    schedule("types", last="yesterday"),
    schedule("nan", last=float("nan")),
    schedule("far", last=1e300),
    schedule("own", function="geartrain.report"),
    Document("schedule", "nothing", b""),
    Document("schedule", "list", b"[]"),
    Document("policy", "no-json", b"{"),
    Document("policy", "no-object", b"3"),
    Document("policy", "newer-setting", b'{"colour": "red"}'),
    Document("policy", "bad-value", b'{"timeout": "soon"}'),
    Document("policy", "deep", b"[" * 100_000),
    Document("result", "H:x:1", b"not an outcome"),
    Document("result", "H:x:2", b'{"handle": "H:x:3"}\n'),
    Document("server", "numbers", b"many"),
    Document("server", "host", b"\xff\xfe"),
]


def job(number: int, **changes: Any) -> JobRecord:
    record = JobRecord(number, b"f", b"", b"%d" % number, 1, 0.0, b"", QUEUED, b"", 1e9)
    return record._replace(**changes)


UNUSABLE_JOBS = [
    job(11, state=7),
    job(12, priority=9),
    job(13, history=b"{"),
    job(14, history=b'["x", []]'),
    job(15, history=b"[1, [[]]]"),
    job(16, function=b"f\0g"),
    job(17, function=b""),
    job(18, due=float("nan")),
    job(19, reducer=b"a\0b"),
]


def write(path: Path, documents: list[Document], jobs: list[JobRecord]) -> None:
    """Have a journal hold these, with the checksums of what is whole."""
    file = JournalFile(str(path))
    file.open()
    batch = Batch(1)
    batch.documents = {(kind, key): value for kind, key, value in documents}
    batch.again = {record.number: record for record in jobs}
    file.write(batch)
    file.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    good = [
        Document("schedule", "good", json.dumps(SCHEDULE | {"paused": True}).encode()),
        Document("policy", "limited", b'{"timeout": "30s"}'),
    ]
    write(
        path,
        [*UNUSABLE, *good],
        [*UNUSABLE_JOBS, job(20), job(21, state=DEAD, history=b'[1, [[5, "fail"]]]')],
    )
    return path


@pytest.fixture
def server(journal: Path) -> Iterator[JobServer]:
    with geartrain("--journal", f"sqlite:{journal}") as server:
        yield server


def quarantined(server: JobServer) -> dict[tuple[str, str], str]:
    rows = json.loads(run("quarantine", "list", "--json", server=server).out)
    return {(row["kind"], row["key"]): row["reason"] for row in rows}


def test_the_others_are_served_and_each_is_named(server: JobServer) -> None:
    with server.connect() as worker:
        worker.can_do("f")
        assert worker.grab().workload == b"20"
        worker.send(Packet.GRAB_JOB)
        worker.expect(Packet.NO_JOB)
    found = quarantined(server)
    assert {key for key in found if key[0] != "job"} == {(kind, key) for kind, key, _ in UNUSABLE}
    assert sum(kind == "job" for kind, _ in found) == len(UNUSABLE_JOBS)
    assert all(found.values())
    assert "no time zone" in found["schedule", "zone"]
    assert "'jitter' is no setting" in found["schedule", "newer"]
    assert "'colour' is no setting" in found["policy", "newer-setting"]
    doctor = run("doctor", server=server)
    assert doctor.code == 1
    assert f"{len(UNUSABLE) + len(UNUSABLE_JOBS)} stored items can't be used" in doctor.out
    schedules = {row["name"]: row for row in json.loads(run("schedule", "list", "--json", server=server).out)}
    assert schedules["good"]["state"] == "paused"
    assert {row["state"] for name, row in schedules.items() if name != "good"} == {"unusable"}
    functions = {
        row["function"]: row for row in json.loads(run("function", "list", "--json", server=server).out)
    }
    assert functions["limited"]["settings"] == {"timeout": 30.0}
    assert "'colour'" in functions["newer-setting"]["error"]
    assert "the stored settings can't be used" in run("function", "list", server=server).out
    dead = run("dead", "list", "--limit", "1000", server=server).out
    assert dead.count("it can't be used: ") == len(UNUSABLE_JOBS)
    assert len(dead.splitlines()) == len(UNUSABLE_JOBS) + 1


def test_each_can_be_replaced_or_removed_and_that_lasts(journal: Path) -> None:
    with geartrain("--journal", f"sqlite:{journal}") as server:
        kept = ("--cron", "0 4 * * *", "--function", "f", "--tz", "UTC")
        wrong = run("schedule", "add", "zone", *kept, server=server)
        assert "there is a schedule 'zone' already" in wrong.err
        assert run("schedule", "add", "zone", *kept, "--replace", server=server).code == 0
        assert run("schedule", "remove", "cron", server=server).code == 0
        assert "no time zone" not in run("schedule", "pause", "zone", server=server).err
        assert "'jitter' is no setting" in run("schedule", "resume", "newer", server=server).err
        assert "does not run" in run("schedule", "pause", "newer", server=server).err
        assert run("function", "set", "no-json", "--timeout", "5s", server=server).code == 0
        assert run("function", "reset", "no-object", server=server).code == 0
        for kind, key in quarantined(server):
            if (kind, key) not in (("schedule", "newer"), ("policy", "newer-setting")) and kind != "job":
                assert run("quarantine", "drop", kind, key, server=server).code == 0
        handles = {key.rpartition(":")[2]: key for kind, key in quarantined(server) if kind == "job"}
        assert run("dead", "requeue", handles["13"], server=server).code == 0
        assert "0 queued" in run("dead", "requeue", handles["16"], server=server).out
        for number in ("11", "12", "14", "15", "16", "17", "18"):
            assert run("quarantine", "drop", "job", handles[number], server=server).code == 0
        assert "no job 'x' is in quarantine" in run("quarantine", "drop", "job", "x", server=server).err
        left = {("schedule", "newer"), ("policy", "newer-setting"), ("job", handles["19"])}
        assert set(quarantined(server)) == left
    with geartrain("--journal", f"sqlite:{journal}") as server:
        assert set(quarantined(server)) == left
        with server.connect() as worker:
            worker.can_do("f")
            assert {worker.grab().workload for _ in range(2)} == {b"20", b"13"}


def test_a_schedule_goes_on_once_the_data_of_its_time_zone_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    there = SCHEDULE | {"settings": {**SCHEDULE["settings"], "tz": "Base/One"}}
    write(path, [Document("schedule", "base", json.dumps(there).encode())], [])
    zones = tmp_path / "zones"
    (zones / "Base").mkdir(parents=True)
    data = next(Path(at, "Europe/Berlin") for at in zoneinfo.TZPATH if Path(at, "Europe/Berlin").exists())
    monkeypatch.setenv("PYTHONTZPATH", str(zones))
    with geartrain("--journal", f"sqlite:{path}") as server:
        assert run("schedule", "resume", "base", server=server).code == 1
        (zones / "Base/One").write_bytes(data.read_bytes())
        assert "runs next at" in run("schedule", "resume", "base", server=server).out
        assert not quarantined(server)


def test_what_can_not_be_used_is_exported_and_imported_as_it_is(tmp_path: Path) -> None:
    path, other = tmp_path / "journal.db", tmp_path / "other.db"
    write(path, UNUSABLE[:-2], [job(20, history=dump_history(History(2, ((5.0, "time-out"),), 2, 6.0)))])
    exported = run("journal", "export", str(path))
    assert exported.code == 0
    assert run("journal", "import", "-", "--journal", str(other), stdin=exported.out).code == 0
    assert run("journal", "check", str(other)).code == 0
    with geartrain("--journal", f"sqlite:{other}") as server:
        assert set(quarantined(server)) == {(kind, key) for kind, key, _ in UNUSABLE[:-2]}


@pytest.mark.parametrize(
    "history",
    [History(), History(3, ((5.0, "fail"), (6.5, "time-out")), 1), History(expires_at=7.5)],
)
def test_a_history_is_read_back(history: History) -> None:
    assert load_history(dump_history(history)) == history


def test_the_history_of_the_last_release_is_read() -> None:
    assert load_history(b'[2, [[5, "fail"]]]') == History(2, ((5.0, "fail"),))


@pytest.mark.parametrize(
    "value",
    [b"{", b"3", b"[]", b"[1]", b"[1, 2]", b"[-1, []]", b"[true, [[1]]]", b'["1", []]', b'[1, [["x", "y"]]]',
     b"[1, [], 1, NaN]", b"[1, [], 1, 2, 3]", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_history_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="its history can't be read"):
        load_history(value)
