"""What can be done with a journal's file while no server uses it, and looked at while one does."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from ..broker.ledger import NUMBERS
from ..broker.records import DEAD, QUEUED, Batch, Document, JobRecord
from ..errors import JournalError
from . import table
from .file import JournalFile
from .gearmand import QueuedJob
from .lock import holder
from .looking import connect_to_read, inspect, paths_of, read
from .packed import unpack
from .troubles import is_damage, lines_of, trouble, unreadable

AT_ONCE: Final = 1000
"""Jobs that are written in one commit."""
_FIRST: Final = -(2**63)


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
    damage: list[str] = field(default_factory=list)
    """A sentence for all that can't be read, and so was not counted."""


class Taken(NamedTuple):
    """What was taken over into a journal."""

    jobs: int
    present: int
    """Jobs that were there already."""
    documents: dict[str, int]
    """How many there were of each kind."""


@contextlib.contextmanager
def reading(path: str, *, damaged: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to a journal's file that changes nothing, also while a server writes.

    With `damaged` a file whose end is missing is opened, too.

    Raises:
        JournalError: it is not a journal, or can't be read.
    """
    if not os.path.exists(path):
        raise JournalError(f"{path} does not exist: is it the path that the server was given?")
    try:
        inspect(path, damaged=damaged)
        try:
            with contextlib.closing(connect_to_read(path, damaged=damaged)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise trouble(path, error) from error
    except JournalError as error:
        cause = error.__cause__
        if damaged and isinstance(cause, sqlite3.Error) and is_damage(cause):
            raise unreadable(path) from cause
        raise


def summarize(path: str, wall: float) -> Summary:
    """What a journal holds, counted."""
    with reading(path, damaged=True) as connection:
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        found = Summary(
            path,
            inspect(path, damaged=True),
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
            elif isinstance(job, str):
                found.damage.append(job)
            elif job.kind != NUMBERS[0]:
                found.documents[job.kind] = found.documents.get(job.kind, 0) + 1
    return found


def check(path: str) -> Iterator[str]:
    """What is wrong with a journal's file, a sentence for each thing."""
    with reading(path, damaged=True) as connection:
        try:
            for (said,) in connection.execute("PRAGMA integrity_check(100)"):
                if said != "ok":
                    for line in lines_of(said):
                        yield f"the file's structure: {line}"
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
    after = _FIRST
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
                which = f"each {name} after {after} can't" if after > _FIRST else f"no {name} can"
                yield f"{which} be read: {error}"
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


def take_over(path: str, source: Iterable[Document | JobRecord | QueuedJob]) -> Taken:
    """Write jobs and documents into a journal, made if need be.

    A job that comes with a number keeps it, and so its handle, unless another job has it. A job of gearmand
    is there already if its function has its unique.

    Raises:
        JournalError: a server uses the journal, or it can't be written. What was written before stays, so
            taking over the same source once more goes on where this ended.
    """
    wanted = iter(source)
    # Before anything is made: there may be no source.
    some = list(islice(wanted, AT_ONCE))
    written = Taken(0, 0, {})
    with _held(path) as file:
        try:
            for batch, written_then in _batches(file, chain([some], _parts(wanted))):
                if not batch.is_empty:
                    file.write(batch)
                written = written_then
        except JournalError as error:
            if not written.jobs:
                raise
            raise JournalError(f"{error}; {written.jobs} jobs were taken over before that") from error
    return written


def _parts(wanted: Iterator[Document | JobRecord | QueuedJob]) -> Iterator[list[Any]]:
    while some := list(islice(wanted, AT_ONCE)):
        yield some


def _batches(
    file: JournalFile, parts: Iterable[list[Document | JobRecord | QueuedJob]]
) -> Iterator[tuple[Batch, Taken]]:
    """What is to be written of each part, and how much was taken over once it is."""
    taken = present = 0
    documents: dict[str, int] = {}
    numbers, uniques, keys = file.contents()
    following = max(int(time.time() * 1_000_000), *numbers, 0) + 1
    for some in parts:
        batch = Batch(1)
        for found in some:
            if isinstance(found, Document):
                if (found.kind, found.key) not in keys and (found.kind, found.key) != NUMBERS:
                    batch.documents[found.kind, found.key] = found.value
                    if found.kind != NUMBERS[0]:
                        documents[found.kind] = documents.get(found.kind, 0) + 1
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
        yield batch, Taken(taken, present, dict(documents))


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
