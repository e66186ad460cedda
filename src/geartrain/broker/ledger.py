"""What must survive of the broker's state, and who is told only when it has.

The ledger gathers a batch; somebody takes it, writes it to a journal, and reports how that went. Meanwhile
the next one gathers. A job that ends before its batch is taken is never written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..wire import packets as p
from ..wire.codec import response
from .handles import LARGEST_NUMBER, Handles
from .history import History, dump_history
from .outbox import Outboxes
from .quarantine import Quarantine
from .records import QUEUED, Batch, Document, JobRecord, columns
from .results import COMPLETE, EXCEPTION
from .state import Job, Peer

RESERVE: Final = 1_000_000
"""Numbers of handles that are reserved at once."""
NUMBERS: Final = ("server", "numbers")
"""The document that says up to which number they are."""

MOST_STALE: Final = 1000
"""Jobs that may have ended while a batch gathers before they are left out of it: nothing of them stays."""

ANSWER_COST: Final = 200
"""Bytes that an answer takes beside its result while it waits for a commit, about."""
MOST_ANSWERS: Final = 16 * 1024 * 1024
"""Bytes of answers that wait for one commit at most."""


def first_number(documents: Iterable[Document], wall: float) -> int:
    """The number of a server's first handle, larger than any that the journal's earlier servers gave out.

    Microseconds since the epoch are, unless the clock was set back: no server makes a million jobs a second.
    """
    reserved = [read_reserved(value) for kind, key, value in documents if (kind, key) == NUMBERS]
    return max(int(wall * 1_000_000), *reserved, 0)


def read_reserved(value: bytes) -> int:
    """Return the number below which handles were given out; 0 if it can't be read."""
    number = int(value) if value.isdigit() and len(value) < len(str(LARGEST_NUMBER)) else 0
    return number if number < LARGEST_NUMBER else 0


class Ledger:
    """The batches of one broker.

    Args:
        handles: who knows the handles of its jobs.
        outboxes: where acknowledgements go.
        durable: whether there is a journal to write to; without one nothing is gathered.
    """

    def __init__(self, handles: Handles, outboxes: Outboxes, durable: bool) -> None:
        self._handles = handles
        self.durable = durable
        self._outboxes = outboxes
        self._gathering = Batch(1)
        self._in_flight: Batch | None = None
        # The serial of the last batch that ended, well or not.
        self._ended = 0
        # Numbers below this one are never given out again, whatever the clock says at the next start.
        self._reserved = 0
        # The largest number of a job that was written as a new one.
        self._newest = -1
        # What was kept and can't be used, until it is written anew or removed.
        self.quarantine = Quarantine()
        # How often something was given to a batch to write.
        self.changes = 0

    @property
    def is_due(self) -> bool:
        """Whether there is something to write and nothing being written."""
        gathering = self._gathering
        return self._in_flight is None and (
            bool(gathering.peers) or bool(gathering.answers) or not gathering.is_empty
        )

    def add(self, job: Job) -> None:
        """Write a new job that nothing became of yet, with the batch that gathers."""
        if not self.durable:
            return
        if job.number <= self._newest or job.due or job.expires_at:
            history = dump_history(History(expires_at=job.expires_at)) if job.expires_at else b""
            self.save(job, QUEUED, history)
            return
        batch = self._gathering
        self.changes += 1
        self._newest = job.number
        job.serial = batch.serial
        batch.gathered.append(job)
        if self._handles.following > self._reserved:
            self._reserve(batch)

    def save(self, job: Job, state: int, history: bytes) -> None:
        """Write a job, for the first time or again, with the batch that gathers."""
        if not self.durable:
            return
        batch = self._gathering
        self.changes += 1
        number = job.number
        # By what was given out, not by this job's number: it may be one of an earlier run.
        if self._handles.following > self._reserved:
            self._reserve(batch)
        if not job.serial:
            job.serial = batch.serial
        elif job.serial == batch.serial and number not in batch.again:
            # It is left out of those that gather.
            batch.stale += 1
        batch.jobs[number] = job
        batch.again[number] = JobRecord(
            number,
            job.function.name,
            job.unique,
            job.workload,
            job.priority,
            job.due,
            job.reducer,
            state,
            history,
            job.queued_at,
        )

    def _reserve(self, batch: Batch) -> None:
        self._reserved = self._handles.following + RESERVE
        self.quarantine.release(*NUMBERS)
        batch.documents[NUMBERS] = b"%d" % self._reserved

    def keep(self, document: Document) -> None:
        """Write a document with the batch that gathers."""
        self.quarantine.release(document.kind, document.key)
        if self.durable:
            self.changes += 1
            self._gathering.documents[document.kind, document.key] = document.value

    def drop(self, kind: str, key: str) -> None:
        """Remove a document with the batch that gathers."""
        self.quarantine.release(kind, key)
        if self.durable:
            self.changes += 1
            self._gathering.documents[kind, key] = None

    def end(self, job: Job) -> None:
        """A job is over: what was written of it goes, what was not is not written any more."""
        if not job.serial:
            return
        batch = self._gathering
        number = job.number
        if batch.again.pop(number, None) is not None:
            del batch.jobs[number]
        was_written = job.serial < batch.serial
        job.serial = 0
        if was_written:
            self.changes += 1
            batch.ended.append(number)
        else:
            batch.stale += 1
            if batch.stale > MOST_STALE and batch.stale * 2 > len(batch.gathered):
                _leave_out_stale(batch)

    def is_unwritten(self, job: Job) -> bool:
        """Whether a job is in a batch that has not ended."""
        return job.serial > self._ended

    def acknowledge(self, peer: Peer, job: Job) -> None:
        """Send JOB_CREATED for a background job, at once if it is durable and with its commit if not."""
        created = self._handles.created(job.handle)
        serial = job.serial
        if serial <= self._ended:
            self._outboxes.send(peer, created)
            return
        opens = self._outboxes.hold(peer, serial, created)
        if self._in_flight is not None and serial == self._in_flight.serial:
            # It coalesced with a job that is being written. Should that fail, it must be told too.
            self._in_flight.peers[peer] = None
        elif opens:
            self._gathering.peers[peer] = None

    def answer(self, peer: Peer, handle: bytes, result: bytes, since: int) -> None:
        """Complete a job of the server's own for a peer: once what it wrote is durable, or at once.

        `since` is what `changes` was before. If the commit fails, or too many wait for it, the job ends with
        an exception that says so.
        """
        batch = self._gathering
        if self.changes != since:
            batch.answers_size += len(result) + ANSWER_COST
            if batch.answers_size > MOST_ANSWERS:
                self._outboxes.send_end(
                    peer, EXCEPTION, handle, b"done, but not durable yet: too many wait for the journal"
                )
                return
            batch.answers.append((peer, handle, result))
        else:
            self._outboxes.send_end(peer, COMPLETE, handle, result)

    def take(self) -> Batch:
        """Hand out the batch that gathered. Exactly one of `committed` and `refused` must follow."""
        batch = self._gathering
        if batch.stale:
            _leave_out_stale(batch)
        batch.new = columns(batch.gathered)
        self._in_flight = batch
        self._gathering = Batch(batch.serial + 1)
        return batch

    def committed(self) -> None:
        """The batch in flight is durable."""
        batch = self._take_in_flight()
        self._land(batch)
        for peer, handle, result in batch.answers:
            if peer.connected:
                self._outboxes.send_end(peer, COMPLETE, handle, result)

    def refused(self, reason: bytes) -> list[Job]:
        """The batch in flight could not be written.

        The submissions in it are answered with QUEUE_ERROR and `reason`, and their jobs returned: nobody was
        promised anything about them. The rest of the batch joins the one that gathers.
        """
        batch = self._take_in_flight()
        gathering = self._gathering
        refused: list[Job] = []
        answers: dict[bytes, bytes] = {}
        error = response(p.ERROR, b"QUEUE_ERROR\0" + reason)
        for job in [*batch.gathered, *batch.jobs.values()]:
            number = job.number
            if job.serial == batch.serial:
                job.serial = 0
                if gathering.again.pop(number, None) is not None:
                    del gathering.jobs[number]
                refused.append(job)
                answers[response(p.JOB_CREATED, job.handle)] = error
            elif job.serial and number in batch.again and number not in gathering.again:
                gathering.again[number] = batch.again[number]
                gathering.jobs[number] = job
            # A job without a serial ended meanwhile, so its acknowledgement tells the truth.
        gathering.ended += batch.ended
        for key, value in batch.documents.items():
            gathering.documents.setdefault(key, value)
        for peer in batch.peers:
            if peer.held is not None:
                peer.held = [answers.get(item, item) for item in peer.held]
        self._land(batch)
        for peer, handle, _ in batch.answers:
            if peer.connected:
                self._outboxes.send_end(peer, EXCEPTION, handle, b"done, but not durable yet: " + reason)
        return refused

    def _take_in_flight(self) -> Batch:
        batch = self._in_flight
        if batch is None:
            raise RuntimeError("no batch was taken")
        self._in_flight = None
        return batch

    def _land(self, batch: Batch) -> None:
        self._ended = batch.serial
        for peer in batch.peers:
            self._outboxes.release(peer, batch.serial)


def _leave_out_stale(batch: Batch) -> None:
    """Leave jobs out of those that gather that ended, or that are written as what became of them."""
    serial = batch.serial
    again = batch.again
    batch.gathered = [job for job in batch.gathered if job.serial == serial and job.number not in again]
    batch.stale = 0
