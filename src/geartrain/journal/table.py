"""The journal's rows: how a batch is written with few statements, and how the jobs are read back.

Few, because each statement's step gives up the interpreter's lock and has to wait for it again, up to
`sys.getswitchinterval()` if the event loop is busy. A commit of nothing but new jobs is one statement,
however many they are. Of those that share a row, a small row beside it says which ended; when all did, both
go.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final
from zlib import crc32

from ..broker.records import DEAD, Batch, Document, JobRecord
from ..errors import JournalError
from .alive import Alive
from .packed import MAX_BYTES, Packed, Row, pack, read_bits, unpack, unpack_together

READ_ROWS: Final = 4096
"""Rows that are read at once."""

_COLUMNS: Final = "number, packed, checksum"
_WIDTH: Final = 3

# The numbers of rows that there are statements for: a part of a batch is filled up to the next of them by
# writing its last row again. So few statements serve all sizes, and they stay compiled.
_SIZES: Final = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    *(step << shift for shift in range(1, 8) for step in (4, 5, 6, 7)),
    1024,
)
_SAVE: Final = {
    rows: f"INSERT OR REPLACE INTO job ({_COLUMNS}) VALUES " + ",".join(["(?,?,?)"] * rows) for rows in _SIZES
}
SELECT_AFTER: Final = f"SELECT {_COLUMNS} FROM job WHERE number > ? ORDER BY number"
_END: Final = "DELETE FROM job WHERE number IN (SELECT value FROM json_each(?))"
_ADD: Final = "INSERT OR REPLACE INTO batch (first, runs, jobs, checksum) VALUES (?, ?, ?, ?)"
_MARK: Final = "INSERT OR REPLACE INTO gone (first, bits, checksum) VALUES (?, ?, ?)"
_CLEAR: Final = (
    "DELETE FROM batch WHERE first IN (SELECT value FROM json_each(?))",
    "DELETE FROM gone WHERE first IN (SELECT value FROM json_each(?))",
)
_BATCHES: Final = (
    "SELECT batch.first, runs, jobs, batch.checksum, bits, gone.checksum "
    "FROM batch LEFT JOIN gone ON gone.first = batch.first"
)
SELECT_BATCHES_AFTER: Final = f"{_BATCHES} WHERE batch.first > ? ORDER BY batch.first"
_PUT: Final = "INSERT OR REPLACE INTO document (kind, key, value, checksum) VALUES (?, ?, ?, ?)"
_REMOVE: Final = "DELETE FROM document WHERE kind = ? AND key = ?"

ADVICE: Final = (
    "see `geartrain journal check`, and save the others with `geartrain journal export --skip-damaged`"
)

STATEMENTS: Final = len(_SIZES) + 16
"""Statements that a connection should keep compiled."""


def checksum_of_document(kind: str, key: str, value: bytes) -> int:
    """What a document's checksum has to be. Any bit that flips in the file shows, wherever it is."""
    return crc32(b"\0".join((kind.encode(), key.encode("utf-8", "surrogatepass"), value)))


def write(cursor: sqlite3.Cursor, alive: Alive, batch: Batch, packed: Packed) -> None:
    """Write all of a batch or nothing. It is durable when this returns.

    One cursor serves all batches, since its beginning and its end would give up the interpreter's lock, too.

    Raises:
        sqlite3.Error: nothing was written; a transaction may still be open.
    """
    rows, alone = packed
    again = batch.again
    if len(rows) == 1 and not (alone or again or batch.ended or batch.documents):
        _add(cursor, rows)  # a statement alone is a transaction
        _note(alive, rows)
        return
    left, others = alive.without([*again, *batch.ended] if again else batch.ended)
    alone = [*alone, *again.values()]
    cursor.execute("BEGIN IMMEDIATE")
    for first, bits in left.items():
        if bits and alive.is_sparse(first, bits):
            # One old job does not hold the room of hundreds.
            rest = _one_batch(cursor, first, bits)
            if rest is not None:
                alone += rest
                left[first] = 0
    _write(cursor, alone, others, left, batch.documents)
    _add(cursor, rows)
    cursor.execute("COMMIT")
    alive.update(left)
    _note(alive, rows)


def write_owed(
    cursor: sqlite3.Cursor,
    alive: Alive,
    saved: list[JobRecord],
    ended: list[int],
    documents: Mapping[tuple[str, str], bytes | None],
) -> None:
    """Write what takes little room: about jobs and documents that are there.

    Raises:
        sqlite3.Error: nothing was written; a transaction may still be open.
    """
    left, others = alive.without([*[record.number for record in saved], *ended])
    cursor.execute("BEGIN IMMEDIATE")
    _write(cursor, saved, others, left, documents)
    cursor.execute("COMMIT")
    alive.update(left)


def _write(
    cursor: sqlite3.Cursor,
    saved: list[JobRecord],
    ended: list[int],
    left: Mapping[int, int],
    documents: Mapping[tuple[str, str], bytes | None],
) -> None:
    if ended:
        cursor.execute(_END, (json.dumps(ended),))
    for part in _parts(saved):
        _save(cursor, part)
    done: list[int] = []
    for first, bits in left.items():
        if bits:
            packed = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
            cursor.execute(_MARK, (first, packed, checksum_of_bits(first, packed)))
        else:
            done.append(first)
    if done:
        for statement in _CLEAR:
            cursor.execute(statement, (json.dumps(done),))
    for (kind, key), value in documents.items():
        if value is None:
            cursor.execute(_REMOVE, (kind, _bound(key)))
        else:
            cursor.execute(_PUT, (kind, _bound(key), value, checksum_of_document(kind, key, value)))


def _bound(key: str) -> str | bytes:
    """A document's key as SQLite takes it: it may be the name of a function that is no UTF-8."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return key.encode("utf-8", "surrogatepass")
    return key


def _unbound(key: Any) -> Any:
    return key.decode("utf-8", "surrogatepass") if isinstance(key, bytes) else key


def _add(cursor: sqlite3.Cursor, rows: list[Row]) -> None:
    for first, runs, jobs, checksum, _ in rows:
        cursor.execute(_ADD, (first, runs, jobs, checksum))


def _note(alive: Alive, rows: list[Row]) -> None:
    for first, _, _, _, bits in rows:
        alive.add(first, bits, bits)


def checksum_of_bits(first: int, packed: bytes) -> int:
    """What the checksum has to be of the bits that say which jobs of a batch are left."""
    return crc32(packed, crc32(b"%d" % first))


def size_of(batch: Batch, packed: Packed) -> int:
    """The bytes that a batch's jobs take, about."""
    rows, alone = packed
    size = sum([len(row.jobs) for row in rows]) + sum([len(record.workload) for record in alone])
    return size + sum([len(record.workload) for record in batch.again.values()])


def _parts(saved: list[JobRecord]) -> Iterator[list[JobRecord]]:
    part: list[JobRecord] = []
    size = 0
    for record in saved:
        size += len(record.workload)
        if part and (size > MAX_BYTES or len(part) == _SIZES[-1]):
            yield part
            part = []
            size = len(record.workload)
        part.append(record)
    if part:
        yield part


def _save(cursor: sqlite3.Cursor, part: list[JobRecord]) -> None:
    rows = _SIZES[bisect_left(_SIZES, len(part))]
    values: list[Any] = []
    for record in part:
        packed = pack(record)
        values += (record[0], packed, crc32(packed))
    values += values[-_WIDTH:] * (rows - len(part))
    cursor.execute(_SAVE[rows], values)


def known(connection: sqlite3.Connection, alive: Alive, numbers: Iterable[int]) -> set[int]:
    """Those of the numbers that a job is kept under."""
    wanted = list(numbers)
    found = connection.execute(
        "SELECT number FROM job WHERE number IN (SELECT value FROM json_each(?))", (json.dumps(wanted),)
    )
    kept = {number for (number,) in found}
    return kept | {number for number in wanted if alive.row_of(number) >= 0}


def one(connection: sqlite3.Connection, alive: Alive, number: int) -> JobRecord | None:
    """The job of that number, if there is one."""
    first = alive.row_of(number)
    if first >= 0:
        found = _one_batch(connection, first, 1 << (number - first))
        return found[0] if found else None
    row = connection.execute(f"SELECT {_COLUMNS} FROM job WHERE number = ?", (number,)).fetchone()
    return None if row is None else unpack(*row)


def _one_batch(cursor: sqlite3.Cursor | sqlite3.Connection, first: int, bits: int) -> list[JobRecord] | None:
    """Those jobs of a batch that `bits` says; None if it is damaged."""
    row = cursor.execute("SELECT runs, jobs, checksum FROM batch WHERE first = ?", (first,)).fetchone()
    return None if row is None else unpack_together(first, row[0], row[1], row[2], bits)


def load(connection: sqlite3.Connection, path: str) -> Alive:
    """Which jobs of the batches have not ended.

    Raises:
        JournalError: it can't be told, since what tells it is damaged.
        sqlite3.Error: the file can't be read.
    """
    alive = Alive()
    for first, runs, bits, checksum in connection.execute(
        "SELECT batch.first, runs, bits, gone.checksum FROM batch LEFT JOIN gone ON gone.first = batch.first "
        "ORDER BY batch.first"
    ):
        written = read_bits(first, runs)
        left = None if written is None else _left(first, written, bits, checksum)
        if written is None or left is None:
            raise _batch_is_damaged(first, path)
        alive.add(first, written, left)
    return alive


def _left(first: int, written: int, packed: Any, checksum: Any) -> int | None:
    """The jobs of a batch that have not ended; None if what tells it is damaged."""
    if packed is None and checksum is None:
        return written
    if not isinstance(packed, bytes) or checksum_of_bits(first, packed) != checksum:
        return None
    return int.from_bytes(packed, "little") & written


def _batch_is_damaged(first: Any, path: str) -> JournalError:
    return JournalError(f"the batch of jobs from {first} on in {path} is damaged: {ADVICE}")


def unpack_row(row: Sequence[Any]) -> list[JobRecord] | None:
    """The jobs of a row of `SELECT_BATCHES_AFTER` that have not ended; None if it is damaged."""
    first, runs, jobs, checksum, bits, checksum_of_them = row
    written = read_bits(first, runs)
    left = None if written is None else _left(first, written, bits, checksum_of_them)
    return None if left is None else unpack_together(first, runs, jobs, checksum, left)


def jobs(connection: sqlite3.Connection, path: str) -> Iterator[list[JobRecord]]:
    """Every job, oldest first, some thousands at a time. Nothing may be written meanwhile.

    Raises:
        JournalError: one of them is not what was written.
        sqlite3.Error: the file can't be read.
    """
    number = itemgetter(0)
    cursor = connection.execute(f"SELECT {_COLUMNS} FROM job ORDER BY number")
    alone = _fetch(cursor, path)
    found: list[JobRecord] = []
    for row in connection.execute(f"{_BATCHES} ORDER BY batch.first"):
        together = unpack_row(row)
        if together is None:
            raise _batch_is_damaged(row[0], path)
        if not together:
            continue
        while alone and alone[-1].number < together[0].number:
            found += alone
            alone = _fetch(cursor, path)
            if len(found) >= READ_ROWS:
                yield found
                found = []
        last = together[-1].number
        while alone and alone[0].number < last:
            cut = bisect_right(alone, last, key=number)
            together += alone[:cut]
            alone = alone[cut:] or _fetch(cursor, path)
        together.sort(key=number)
        found += together
        if len(found) >= READ_ROWS:
            yield found
            found = []
    if found:
        yield found
    while alone:
        yield alone
        alone = _fetch(cursor, path)


def _fetch(cursor: sqlite3.Cursor, path: str) -> list[JobRecord]:
    """The next jobs that have rows of their own; none when there are no more."""
    records = []
    for row in cursor.fetchmany(READ_ROWS):
        number, packed, checksum = row
        record = unpack(number, packed, checksum)
        if record is None:
            raise JournalError(f"job {number} in {path} is damaged: {ADVICE}")
        records.append(record)
    return records


def document_rows(connection: sqlite3.Connection) -> Iterator[tuple[Document, bool]]:
    """Every document, and whether it is what was written.

    Raises:
        sqlite3.Error: the file can't be read.
    """
    for kind, key, value, expected in connection.execute("SELECT kind, key, value, checksum FROM document"):
        key = _unbound(key)
        whole = isinstance(value, bytes) and checksum_of_document(kind, key, value) == expected
        yield Document(kind, key, value), whole


def documents(connection: sqlite3.Connection, path: str) -> list[Document]:
    """Every document.

    Raises:
        JournalError: one of them is not what was written.
        sqlite3.Error: the file can't be read.
    """
    found = []
    for document, is_whole in document_rows(connection):
        if not is_whole:
            raise JournalError(f"the {document.kind} {document.key!r} in {path} is damaged: {ADVICE}")
        found.append(document)
    return found


def numbers_and_uniques(
    connection: sqlite3.Connection, path: str
) -> tuple[set[int], set[tuple[bytes, bytes]]]:
    """Of all jobs the numbers, and of those that are not dead what they coalesce by, see `coalesces_by`.

    Raises:
        JournalError: one of them is not what was written.
    """
    numbers: set[int] = set()
    uniques: set[tuple[bytes, bytes]] = set()
    for records in jobs(connection, path):
        for record in records:
            numbers.add(record.number)
            if record.state != DEAD:
                key = coalesces_by(record.function, record.unique, record.workload)
                if key is not None:
                    uniques.add(key)
    return numbers, uniques


def coalesces_by(function: bytes, unique: bytes, workload: bytes) -> tuple[bytes, bytes] | None:
    """What jobs have in common that coalesce; None for a job that never does."""
    if unique == b"-":
        return (function, b"-" + workload) if workload else None
    return (function, unique) if unique else None


def keys(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """What the documents that are kept are found by."""
    return {(kind, _unbound(key)) for kind, key in connection.execute("SELECT kind, key FROM document")}
