"""Acknowledged means durable: what peers are told, and when, while commits are slow or fail."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from geartrain.broker.records import Batch, Document, JobRecord
from geartrain.errors import JournalError
from geartrain.server import ServerOptions
from geartrain.server.options import Limits
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, encode

from .running import RunningServer


class GatedJournal:
    """A journal that commits when it is told to, and fails when it is told to."""

    durable = True
    name = "gated"

    def __init__(self) -> None:
        self.open_gate = True
        self.fails = self.surprises = False
        self.reason = "the disk is full"
        self.kept: dict[int, JobRecord] = {}
        self.batches: list[Batch] = []
        self.waiting = 0

    async def open(self) -> list[Document]:
        return []

    async def jobs(self) -> AsyncIterator[list[JobRecord]]:
        yield list(self.kept.values())

    async def commit(self, batch: Batch) -> None:
        self.waiting += 1
        while not self.open_gate:  # noqa: ASYNC110 - the test's thread opens it
            await asyncio.sleep(0.001)
        self.waiting -= 1
        if self.fails:
            raise JournalError(self.reason)
        if self.surprises:
            raise UnicodeError("nobody foresaw this")
        self.batches.append(batch)
        self.kept.update(batch.saved)
        for number in batch.ended:
            del self.kept[number]

    async def close(self) -> None:
        pass


@contextmanager
def _server(journal: GatedJournal) -> Iterator[RunningServer]:
    with RunningServer(ServerOptions(port=0), journal) as running:
        # The server has something of its own to write when it starts.
        wait_until(lambda: journal.batches, "the first commit is done")
        yield running
        journal.open_gate = True


def _wait_for_jobs(running: RunningServer, count: int) -> None:
    wait_until(
        lambda: running.ask(lambda server: len(server.broker.jobs)) == count, f"there are {count} jobs"
    )


def test_a_background_job_is_acknowledged_only_after_its_commit() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client:
        client.sync()
        journal.open_gate = False
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "w")
        _wait_for_jobs(running, 1)
        assert running.ask(lambda server: [peer.outbox for peer in server.broker.peers]) == [[]]
        assert not select.select([client.socket], [], [], 0.05)[0]
        assert journal.kept == {}
        journal.open_gate = True
        client.expect(Packet.JOB_CREATED)
        assert len(journal.kept) == 1


def test_what_follows_a_waiting_acknowledgement_waits_behind_it() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client, running.connect() as other:
        client.sync()
        journal.open_gate = False
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "background")
        client.send(Packet.SUBMIT_JOB, "f", "", "foreground")
        client.send(Packet.ECHO_REQ, "after")
        other.sync()
        other.submit("f", "another connection is not held up")
        journal.open_gate = True
        first = client.expect(Packet.JOB_CREATED)[0]
        second = client.expect(Packet.JOB_CREATED)[0]
        client.expect(Packet.ECHO_RES, "after")
        assert int(first.rpartition(b":")[2]) < int(second.rpartition(b":")[2])


def test_foreground_work_goes_on_while_a_commit_hangs() -> None:
    journal = GatedJournal()
    with (
        _server(journal) as running,
        running.connect() as client,
        running.connect() as worker,
        running.connect() as background,
    ):
        journal.open_gate = False
        background.send(Packet.SUBMIT_JOB_BG, "other", "", "w")
        worker.can_do("f")
        handle = client.submit("f", "w")
        worker.complete(worker.grab().handle, "result")
        client.expect(Packet.WORK_COMPLETE, handle, "result")
        journal.open_gate = True


def test_a_job_that_ends_before_its_commit_is_never_written() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client, running.connect() as worker:
        worker.can_do("f")
        journal.open_gate = False
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "in flight")
        wait_until(lambda: journal.waiting, "the commit is on its way")
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "gathers and ends")
        _wait_for_jobs(running, 2)
        for workload in (b"in flight", b"gathers and ends"):
            job = worker.grab()
            assert job.workload == workload
            worker.complete(job.handle)
        journal.open_gate = True
        client.expect(Packet.JOB_CREATED)
        client.expect(Packet.JOB_CREATED)
        client.sync()
    saved = [record.workload for batch in journal.batches for record in batch.saved.values()]
    assert saved == [b"in flight"]
    assert journal.kept == {}


def test_a_failed_commit_refuses_its_submissions_and_nothing_else() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client, running.connect() as worker:
        kept = client.submit("f", "kept", type=Packet.SUBMIT_JOB_BG)
        journal.fails = True
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "refused")
        assert client.expect_error("QUEUE_ERROR") == b"the disk is full"
        assert client.status(kept).known == b"1"
        foreground = client.submit("g", "still taken")
        assert "disk is full" in running.ask(lambda server: server.commits.failing)
        worker.can_do("f", "g")
        assert worker.grab().handle == foreground
        assert worker.grab().handle == kept
        worker.grab_nothing()
        worker.complete(kept)
        journal.fails = False
        client.submit("f", "again", type=Packet.SUBMIT_JOB_BG)
        assert running.ask(lambda server: server.commits.failing) == ""
    assert [record.workload for record in journal.kept.values()] == [b"again"]


def test_an_error_that_nobody_foresaw_is_a_failure_like_others() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client:
        journal.surprises = True
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "refused")
        assert client.expect_error("QUEUE_ERROR") == b"UnicodeError: nobody foresaw this"
        journal.surprises = False
        client.submit("f", "taken", type=Packet.SUBMIT_JOB_BG)
    assert [record.workload for record in journal.kept.values()] == [b"taken"]


def test_a_protocol_error_comes_behind_the_acknowledgements_before_it() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client:
        client.sync()
        journal.open_gate = False
        client.send_bytes(encode(Packet.SUBMIT_JOB_BG, "f", "", "w") + b"\0NO!" + bytes(8))
        wait_until(lambda: journal.waiting, "the commit is on its way")
        assert not select.select([client.socket], [], [], 0.2)[0]
        journal.open_gate = True
        client.expect(Packet.JOB_CREATED)
        client.expect_error("INVALID_PACKET")
        client.expect_closed()
    assert [record.workload for record in journal.kept.values()] == [b"w"]


def test_acknowledgements_that_wait_are_bounded_too() -> None:
    """They are short, but each submission that joins the same job has one."""
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client:
        client.sync()
        journal.open_gate = False
        submissions = encode(Packet.SUBMIT_JOB_BG, "f", "u", "") * 100_000
        sender = threading.Thread(target=client.socket.sendall, args=(submissions,), daemon=True)
        sender.start()
        wait_until(
            lambda: running.ask(lambda server: any(each.is_paused for each in server.connections)),
            "nothing more is read from it",
        )
        assert running.ask(lambda server: max(p.held_bytes for p in server.broker.peers)) < 3_000_000
        journal.open_gate = True
        for _ in range(100_000):
            client.expect(Packet.JOB_CREATED)
        sender.join(10)


def test_a_refused_unique_is_refused_to_everybody_who_coalesced_with_it() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as one, running.connect() as two:
        one.sync()
        journal.open_gate = False
        journal.fails = True
        one.send(Packet.SUBMIT_JOB_BG, "f", "same", "w")
        wait_until(lambda: journal.waiting, "the commit is on its way")
        # It coalesces with a job that is being written, behind one that gathers.
        two.send(Packet.SUBMIT_JOB_BG, "f", "other", "w")
        two.send(Packet.SUBMIT_JOB_BG, "f", "same", "w")
        _wait_for_jobs(running, 2)
        with running.connect() as other:
            other.sync()
        journal.open_gate = True
        one.expect_error("QUEUE_ERROR")
        two.expect_error("QUEUE_ERROR")
        two.expect_error("QUEUE_ERROR")
        assert running.ask(lambda server: len(server.broker.jobs)) == 0


def test_a_server_that_stops_commits_what_it_has() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client, running.connect() as worker:
        worker.can_do("f")
        client.submit("f", "w", type=Packet.SUBMIT_JOB_BG)
        worker.send(Packet.WORK_COMPLETE, worker.grab().handle, "")
        worker.sync()
    assert journal.kept == {}


def test_a_journal_that_works_again_is_noticed_though_nobody_submits() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client:
        journal.fails = True
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "refused")
        client.expect_error("QUEUE_ERROR")
        assert running.ask(lambda server: server.commits.failing_since) > 0
        journal.fails = False
        wait_until(lambda: not running.ask(lambda server: server.commits.failing), "the journal works again")


def test_a_job_at_a_time_of_day_is_queued_until_then() -> None:
    journal = GatedJournal()
    options = ServerOptions(port=0, time_zone="UTC")
    with RunningServer(options, journal) as running, running.connect() as client:
        before = time.time()
        client.send(Packet.SUBMIT_JOB_SCHED, "f", "", "30", "12", "", "", "", "w")
        handle = client.expect(Packet.JOB_CREATED, ...)[0]
        (kept,) = journal.kept.values()
        assert kept.due % 86400 == 12.5 * 3600
        assert before < kept.due <= before + 86400
        client.can_do("f")
        client.grab_nothing()
        assert client.status(handle).known == b"1"
        client.send(Packet.SUBMIT_JOB_SCHED, "f", "", "99", "", "", "", "", "w")
        assert b"minute" in client.expect_error("INVALID_ARGUMENT")


def test_an_attempt_that_the_servers_own_end_cut_off_does_not_count() -> None:
    journal = GatedJournal()
    options = ServerOptions(port=0, functions={"f": {"max_attempts": 2}})
    with RunningServer(options, journal) as running, running.connect() as client, running.connect() as worker:
        client.submit("f", "w", type=Packet.SUBMIT_JOB_BG)
        worker.can_do("f")
        worker.grab()
        running.stop()
    (kept,) = journal.kept.values()
    assert (kept.state, kept.history) == (0, b"")


def test_why_a_commit_failed_may_be_no_text() -> None:
    journal = GatedJournal()
    with _server(journal) as running, running.connect() as client:
        journal.fails = True
        journal.reason = "no room for " + os.fsdecode(b"/srv/\xff/journal.db")
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "refused")
        assert client.expect_error("QUEUE_ERROR") == b"no room for /srv/?/journal.db"
        journal.fails = False
        client.submit("f", "taken", type=Packet.SUBMIT_JOB_BG)


def test_a_worker_waits_while_what_it_sends_is_held_back_for_a_commit() -> None:
    journal = GatedJournal()
    options = ServerOptions(port=0, limits=Limits(outbox=8 << 20))
    part, parts = b"x" * (1 << 20), 40
    with (
        RunningServer(options, journal) as running,
        running.connect() as client,
        running.connect() as worker,
    ):
        wait_until(lambda: journal.batches, "the first commit is done")
        worker.can_do("f")
        handle = client.submit("f", "w")
        worker.grab()
        journal.open_gate = False
        client.send(Packet.SUBMIT_JOB_BG, "g", "", "w")
        wait_until(lambda: journal.waiting, "the commit is on its way")

        def send() -> None:
            for _ in range(parts):
                worker.send(Packet.WORK_DATA, handle, part)

        sender = threading.Thread(target=send)
        sender.start()
        wait_until(
            lambda: running.ask(lambda server: any(c.is_paused for c in server.connections)),
            "the worker has to wait",
        )
        assert running.ask(lambda server: max(p.held_bytes for p in server.broker.peers)) < 6 * len(part)
        journal.open_gate = True
        client.expect(Packet.JOB_CREATED)
        for _ in range(parts):
            client.expect(Packet.WORK_DATA, handle, part)
        sender.join(10)
        assert not sender.is_alive()


def test_a_server_ends_though_its_journal_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geartrain.server.server.JOURNAL_WITHIN", 0.1)
    journal = GatedJournal()
    running = RunningServer(ServerOptions(port=0), journal).__enter__()
    wait_until(lambda: journal.batches, "the first commit is done")
    with running.connect() as client:
        journal.open_gate = False
        client.send(Packet.SUBMIT_JOB_BG, "f", "", "w")
        wait_until(lambda: journal.waiting, "the commit is on its way")
        with pytest.raises(JournalError, match="gated did not take the last of it"):
            running.stop()
