"""What can be done with a journal's file while no server uses it, and looked at while one does."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from ..broker.ledger import NUMBERS
from ..broker.records import DEAD, QUEUED, Batch, Document, JobRecord
from ..errors import JournalError
from . import table
from .file import JournalFile
from .gearmand import QueuedJob
from .lock import holder
from .looking import connect_to_read, inspect, paths_of, read
from .packed import unpack
from .troubles import trouble

AT_ONCE: Final = 1000
"""Jobs that are written in one commit."""


@dataclass
class Summary:
    """What a journal holds. Times are in seconds since the epoch; 0: none."""

    path: str
    version: int
    size: int
    """Bytes of the file and of those that SQLite keeps beside it."""
    free: int
    """Bytes of it that compacting would give back."""
    server: int
    """The process that uses it; 0 if none does."""
    oldest: float = 0.0
    functions: dict[bytes, dict[str, int]] = field(default_factory=dict)
    """For each function: `queued`, `delayed`, `dead`, and `bytes` of workloads."""
    documents: dict[str, int] = field(default_factory=dict)
    """How many there are of each kind."""


@contextlib.contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """A connection to a journal's file that changes nothing, also while a server writes.

    Raises:
        JournalError: it is not a journal, or can't be read.
    """
    if not os.path.exists(path):
        raise JournalError(f"{path} does not exist: is it the path that the server was given?")
    inspect(path)
    try:
        with contextlib.closing(connect_to_read(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise trouble(path, error) from error


def summarize(path: str, wall: float) -> Summary:
    """What a journal holds, counted."""
    with reading(path) as connection:
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        found = Summary(
            path,
            inspect(path),
            sum(os.path.getsize(part) for part in paths_of(path) if os.path.exists(part)),
            free * page,
            holder(path),
        )
        for job in everything(connection, path, skip_damaged=True):
            if isinstance(job, JobRecord):
                counts = found.functions.setdefault(
                    job.function, {"queued": 0, "delayed": 0, "dead": 0, "bytes": 0}
                )
                counts["dead" if job.state == DEAD else "delayed" if job.due > wall else "queued"] += 1
                counts["bytes"] += len(job.workload)
                found.oldest = min(found.oldest or job.queued_at, job.queued_at)
        found.documents = dict(
            connection.execute("SELECT kind, count(*) FROM document WHERE kind != 'server' GROUP BY kind")
        )
    return found


def check(path: str) -> Iterator[str]:
    """What is wrong with a journal's file, a sentence for each thing."""
    with reading(path) as connection:
        try:
            for (said,) in connection.execute("PRAGMA integrity_check(100)"):
                if said != "ok":
                    yield f"the file's structure: {said}"
        except sqlite3.DatabaseError as error:
            yield f"the file's structure: {error}"
        for found in everything(connection, path, skip_damaged=True):
            if isinstance(found, str):
                yield found


def everything(
    connection: sqlite3.Connection, path: str, *, skip_damaged: bool = False
) -> Iterator[Document | JobRecord | str]:
    """Every document and job, oldest first; where `skip_damaged`, a sentence in place of what can't be read.

    Raises:
        JournalError: something can't be read, and it is not to be skipped.
    """
    if not skip_damaged:
        yield from table.documents(connection, path)
        for records in read(connection, path):
            yield from records
        return
    try:
        for document, is_whole in table.document_rows(connection):
            yield document if is_whole else f"the {document.kind} {document.key!r} is damaged"
    except sqlite3.DatabaseError as error:
        yield f"documents can't be read: {error}"
    yield from _salvage(connection, "job", table.SELECT_AFTER, _one)
    yield from _salvage(connection, "batch", table.SELECT_BATCHES_AFTER, _together)


def _one(row: tuple[Any, ...]) -> list[JobRecord | str]:
    return [unpack(*row) or f"job {row[0]} is damaged"]


def _together(row: tuple[Any, ...]) -> list[JobRecord | str]:
    found = table.unpack_row(row)
    return [f"the batch of jobs from {row[0]} on is damaged"] if found is None else [*found]


def _salvage(
    connection: sqlite3.Connection,
    name: str,
    select: str,
    unpacked: Callable[[tuple[Any, ...]], list[JobRecord | str]],
) -> Iterator[JobRecord | str]:
    """Every job of a table that can be read, whatever is broken between them.

    Args:
        name: what a row of it is, in a sentence.
        select: its rows after a given one.
        unpacked: the jobs of a row, or what is wrong with it.
    """
    after = -(2**63)
    while True:
        try:
            rows = connection.execute(f"{select} LIMIT {AT_ONCE}", (after,)).fetchall()
        except sqlite3.DatabaseError as error:
            rows = _one_by_one(connection, select, after)
            for row in rows:
                yield from unpacked(row)
                after = row[0]
            step = 1
            while step < 2**62 and not _can_read(connection, select, after + step):
                step *= 2
            if step >= 2**62:
                yield f"each {name} after {after} can't be read: {error}"
                return
            low, high = step // 2, step
            while high - low > 1:
                middle = (low + high) // 2
                if _can_read(connection, select, after + middle):
                    high = middle
                else:
                    low = middle
            yield f"each {name} from {after + 1} to {after + high} can't be read: {error}"
            after += high
            continue
        if not rows:
            return
        for row in rows:
            yield from unpacked(row)
        after = rows[-1][0]


def _can_read(connection: sqlite3.Connection, select: str, after: int) -> bool:
    try:
        connection.execute(f"{select} LIMIT 1", (after,)).fetchall()
    except sqlite3.DatabaseError:
        return False
    return True


def _one_by_one(connection: sqlite3.Connection, select: str, after: int) -> list[tuple[Any, ...]]:
    """The rows up to the first that can't be read."""
    found: list[tuple[Any, ...]] = []
    with contextlib.suppress(sqlite3.DatabaseError):
        while row := connection.execute(f"{select} LIMIT 1", (after,)).fetchone():
            after = row[0]
            found.append(row)
    return found


def compact(path: str) -> tuple[int, int]:
    """Give back the room that ended jobs took; returns the bytes before and after.

    Raises:
        JournalError: a server uses it, or it failed; the journal is as it was.
    """
    if not os.path.exists(path):
        raise JournalError(f"{path} does not exist: is it the path that the server was given?")
    # After a server that was killed, most of it may stand in the write-ahead log.
    log = path + "-wal"
    before = os.path.getsize(path) + (os.path.getsize(log) if os.path.exists(log) else 0)
    with _held(path) as file:
        file.compact()
    return before, os.path.getsize(path)


def take_over(path: str, source: Iterable[Document | JobRecord | QueuedJob]) -> tuple[int, int]:
    """Write jobs and documents into a journal, made if need be: how many jobs were taken, and were there.

    A job that comes with a number keeps it, and so its handle, unless another job has it. A job of gearmand
    is there already if its function has its unique.

    Raises:
        JournalError: a server uses the journal, or it can't be written. What was written before stays, so
            taking over the same source once more goes on where this ended.
    """
    taken = present = 0
    with _held(path) as file:
        numbers, uniques, keys = file.contents()
        following = max(int(time.time() * 1_000_000), *numbers, 0) + 1
        wanted = iter(source)
        while some := list(islice(wanted, AT_ONCE)):
            batch = Batch(1)
            for found in some:
                if isinstance(found, Document):
                    if (found.kind, found.key) not in keys and (found.kind, found.key) != NUMBERS:
                        batch.documents[found.kind, found.key] = found.value
                    continue
                if isinstance(found, JobRecord):
                    record = found
                    is_present = False
                    if record.number in numbers:
                        other = batch.again.get(record.number) or file.job(record.number)
                        is_present = other is not None and other[1:4] == record[1:4]
                        record = record._replace(number=following)
                else:
                    record = _new(following, found)
                    key = table.coalesces_by(found.function, found.unique, found.workload)
                    is_present = key in uniques
                    if key is not None:
                        uniques.add(key)
                if is_present:
                    present += 1
                    continue
                numbers.add(record.number)
                following = max(following, record.number) + 1
                batch.again[record.number] = record
                taken += 1
            if not batch.is_empty:
                file.write(batch)
    return taken, present


def _new(number: int, job: QueuedJob) -> JobRecord:
    """A job of gearmand under a number of ours."""
    unique, function, priority, workload, due = job
    return JobRecord(number, function, unique, workload, priority, due, b"", QUEUED, b"", time.time())


@contextlib.contextmanager
def _held(path: str) -> Iterator[JournalFile]:
    file = JournalFile(path)
    file.open()
    try:
        yield file
    finally:
        file.close()
