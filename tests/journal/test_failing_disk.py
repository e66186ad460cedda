"""The disk fails under a server: new jobs are refused with a sentence, accepted ones stay, it recovers."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from geartrain.broker.records import Batch, NewJobs, Run
from geartrain.errors import JournalError
from geartrain.journal import SqliteJournal, table
from geartrain.journal.file import JournalFile
from geartrain.server import ServerOptions
from tests.harness.processes import Process, wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import geartrain
from tests.server.running import RunningServer

from .disk import disk
from .records import contents

SERVE: Final = ("-m", "geartrain", "serve", "--port", "0", "--journal")


@contextmanager
def serving(path: Path, **options: int) -> Iterator[RunningServer]:
    with RunningServer(ServerOptions(port=0), SqliteJournal(str(path), **options)) as running:
        yield running


def failing(running: RunningServer) -> str:
    return running.ask(lambda server: server.commits.failing)


def wait_for_recovery(running: RunningServer) -> None:
    wait_until(lambda: not failing(running), "the journal works again")


def background(client: RawPeer, workload: str, function: str = "f") -> None:
    client.submit(function, workload, type=Packet.SUBMIT_JOB_BG)


def refused(client: RawPeer, workload: bytes = b"refused") -> bytes:
    """Submit in vain; returns the sentence."""
    client.send(Packet.SUBMIT_JOB_BG, "f", "", workload)
    return client.expect_error("QUEUE_ERROR")


def foreground_works(client: RawPeer) -> None:
    client.can_do("foreground")
    handle = client.submit("foreground", "w")
    client.send(Packet.WORK_COMPLETE, client.grab().handle, "done")
    client.expect(Packet.WORK_COMPLETE, handle, "done")


def kept(path: Path) -> list[bytes]:
    """The workloads that the next server finds."""
    return [record.workload for record in contents(str(path))[0]]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (sqlite3.SQLITE_FULL, b"no room is left"),
        (sqlite3.SQLITE_IOERR, b"the disk fails"),
        (sqlite3.SQLITE_IOERR_FSYNC, b"the disk fails"),
        (sqlite3.SQLITE_READONLY, b"can't be written"),
    ],
)
@pytest.mark.parametrize("kind", ["write", "sync"])
def test_a_disk_that_fails_refuses_new_jobs_and_keeps_the_others(
    tmp_path: Path, code: int, sentence: bytes, kind: str
) -> None:
    path = tmp_path / "journal.db"
    with disk() as shim:
        with serving(path) as running, running.connect() as client, running.connect() as other:
            background(client, "before")
            shim.fails = lambda event, at: code if event == kind and at.endswith("-wal") else 0
            assert sentence in refused(client)
            assert sentence.decode() in failing(running)
            foreground_works(other)
            shim.fails = lambda event, at: 0
            wait_for_recovery(running)
            background(client, "after")
        assert kept(path) == [b"before", b"after"]


def test_a_slow_disk_slows_only_those_who_wait_for_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with disk() as shim:
        with serving(path) as running, running.connect() as client, running.connect() as other:
            other.sync()
            shim.sync_takes = 0.3
            client.send(Packet.SUBMIT_JOB_BG, "f", "", "slow")
            foreground_works(other)
            assert kept_number(running) == 0
            client.expect(Packet.JOB_CREATED, ...)
            shim.sync_takes = 0.0
        assert kept(path) == [b"slow"]


def kept_number(running: RunningServer) -> int:
    """How many jobs of `f` were acknowledged already."""
    return running.ask(lambda server: sum(not peer.held for peer in server.broker.peers if peer.gates))


def test_a_full_disk_refuses_new_jobs_and_lets_accepted_ones_end(tmp_path: Path) -> None:
    """Without root: the file's own limit of pages stands for the disk's."""
    path = tmp_path / "journal.db"
    with serving(path, max_bytes=1_000_000) as running, running.connect() as client:
        accepted = 0
        client.send(Packet.SUBMIT_JOB_BG, "f", "", b"w" * 10_000)
        while (packet := client.recv()).type == Packet.JOB_CREATED:
            accepted += 1
            client.send(Packet.SUBMIT_JOB_BG, "f", "", b"w" * 10_000)
        assert packet.type == Packet.ERROR
        assert accepted > 10
        foreground_works(client)
        client.can_do("f")
        for _ in range(accepted):
            client.complete(client.grab().handle)
        client.grab_nothing()
        wait_for_recovery(running)
        background(client, "after")
    assert kept(path) == [b"after"]


def test_another_program_that_locks_the_file_is_named_and_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with serving(path) as running, running.connect() as client:
        background(client, "before")
        intruder = sqlite3.connect(path, isolation_level=None)
        intruder.execute("BEGIN IMMEDIATE")
        assert b"locked by another program" in refused(client)
        intruder.execute("ROLLBACK")
        intruder.close()
        wait_for_recovery(running)
        background(client, "after")
    assert kept(path) == [b"before", b"after"]


@pytest.mark.parametrize("what", ["journal.db", "journal.db-wal", "everything"])
def test_a_file_that_is_deleted_is_put_back_with_all_that_was_in_it(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "state"
    path = folder / "journal.db"
    with serving(path) as running, running.connect() as client:
        background(client, "before")
        if what == "everything":
            shutil.rmtree(folder)
            assert b"check that its folder exists" in refused(client)
            folder.mkdir()
            wait_for_recovery(running)
        else:
            (folder / what).unlink()
        background(client, "after")
    assert kept(path) == [b"before", b"after"]


def test_another_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with serving(path) as running, running.connect() as client:
        background(client, "before")
        path.rename(tmp_path / "moved")
        path.write_text("something else")
        assert b"another file took the place" in refused(client)
        assert path.read_text() == "something else"
        path.unlink()
        wait_for_recovery(running)
        background(client, "after")
    assert kept(path) == [b"before", b"after"]


# A server that starts


def refusal(journal: Path | str) -> str:
    """Start a server that can't; returns the reason it logs."""
    import sys

    with Process(sys.executable, *SERVE, f"sqlite:{journal}") as server:
        assert server.wait(30) == 1
        return server.stderr


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A journal with many jobs."""
    path = tmp_path / "journal.db"
    with serving(path) as running, running.connect() as client:
        for number in range(200):
            client.send(Packet.SUBMIT_JOB_BG, "f", "", b"%d" % number * 100)
        for _ in range(200):
            client.expect(Packet.JOB_CREATED, ...)
    return path


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda content: content[: len(content) // 2], "is damaged"),
        (lambda content: b"x" * len(content), "is not a journal"),
        (lambda content: content.replace(b"199199", b"199189", 1), "is damaged"),
        (lambda content: content[:4096] + bytes(4096) + content[8192:], "is damaged"),
    ],
    ids=["truncated", "foreign", "one bit", "a page of zeros"],
)
def test_a_damaged_file_is_refused_with_what_to_do_and_not_overwritten(
    used: Path, damage: Callable[[bytes], bytes], sentence: str
) -> None:
    content = damage(used.read_bytes())
    used.write_bytes(content)
    reason = refusal(used)
    assert sentence in reason
    assert "geartrain journal" in reason or "put a copy back" in reason
    assert used.read_bytes() == content


def test_any_flipped_bit_is_noticed_or_harmless(used: Path) -> None:
    """Whatever byte of the file is hit: it is refused, or all jobs are as they were."""
    original = used.read_bytes()
    expected = contents(str(used))
    for position in range(100, len(original), len(original) // 150):
        used.write_bytes(original[:position] + bytes([original[position] ^ 0x10]) + original[position + 1 :])
        try:
            found = contents(str(used))
        except JournalError:
            continue
        assert found == expected, f"byte {position}"


def test_a_second_server_is_refused_and_the_first_goes_on(used: Path) -> None:
    with geartrain("--journal", f"sqlite:{used}") as first, first.connect() as client:
        assert f"is in use by the process {first.process.pid}" in refusal(used)
        client.can_do("f")
        assert client.grab().workload == b"0" * 100


@pytest.mark.skipif(os.geteuid() != 0, reason="root may write everywhere, but only root may mount")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A small tmpfs under a server of its own: full, emptied a little, and nothing acknowledged is lost."""
    mount = tmp_path / "small"
    mount.mkdir()
    options = ["-t", "tmpfs", "-o", "size=40m", "tmpfs", str(mount)]
    if subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        _fill(mount)
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def _fill(mount: Path) -> None:
    journal = ("--journal", f"sqlite:{mount}/journal.db")
    acknowledged: list[bytes] = []
    with geartrain(*journal) as server, server.connect() as client:
        sentence = b""
        for number in range(2000):
            workload = b"%06d" % number + b"w" * 50_000
            client.send(Packet.SUBMIT_JOB_BG, "f", "", workload)
            packet: Any = client.recv()
            if packet.type == Packet.ERROR:
                sentence = packet.args[1]
                break
            acknowledged.append(workload)
        assert b"no room is left" in sentence
        assert len(acknowledged) > 20
        server.process.wait_for_output("the journal fails")
        foreground_works(client)
        # What was accepted can end, though the disk is full, and the ends survive a kill.
        client.can_do("f")
        for workload in acknowledged[:100]:
            job = client.grab()
            assert job.workload == workload
            client.complete(job.handle)
        done = acknowledged[:100]
        wait_until(lambda: _jobs_in(mount) == len(acknowledged) - len(done), "the ends are written", 20)
        server.process.kill()
    rest = []
    with geartrain(*journal) as server, server.connect() as worker:
        worker.can_do("f")
        for _ in range(len(acknowledged) - len(done)):
            job = worker.grab()
            rest.append(job.workload)
            worker.complete(job.handle)
        worker.grab_nothing()
        deadline = time.monotonic() + 20
        while True:
            worker.send(Packet.SUBMIT_JOB_BG, "g", "", b"w" * 50_000)
            if worker.recv().type == Packet.JOB_CREATED:
                break
            assert time.monotonic() < deadline, "it does not recover"
            time.sleep(0.1)
    assert rest == acknowledged[len(done) :]


def _jobs_in(mount: Path) -> int:
    connection = sqlite3.connect(f"file:{mount}/journal.db?mode=ro", uri=True)
    try:
        (count,) = connection.execute("SELECT count(*) FROM job").fetchone()
        return int(count)
    finally:
        connection.close()


def test_what_is_noted_along_with_a_job_is_not_there_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = JournalFile(str(tmp_path / "journal.db"))
    file.open()
    note = ("schedule", "nightly")
    first = Batch(1)
    first.documents = {note: b"none yet", ("schedule", "old"): b"none yet"}
    file.write(first)

    def full(*arguments: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(table, "write", full)
    second = Batch(2)
    second.new = NewJobs([Run(1, 1, b"report", 1, b"", 0.0)], [b""], [b"w"])
    second.documents = {note: b"it ran", ("schedule", "old"): None}
    with pytest.raises(JournalError, match="no room"):
        file.write(second)
    assert [(kept.key, kept.value) for kept in file.documents()] == [("nightly", b"none yet")]
    second.new = NewJobs([], [], [])
    with contextlib.suppress(JournalError):
        file.write(second)
    assert [kept.value for kept in file.documents()] == [b"it ran"]
    file.close()


def test_a_folder_that_may_not_be_entered_is_said_to_be_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "journal.db")
    file = JournalFile(path)
    file.open()

    def stat(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(JournalError, match=r"out of reach \(Permission denied\)"):
        file.write(Batch(1))
    monkeypatch.undo()
    file.close()


def test_a_file_that_was_empty_is_nobody_elses_business_either(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch(0o644)
    file = JournalFile(str(path))
    file.open()
    assert path.stat().st_mode & 0o777 == 0o600
    file.close()
