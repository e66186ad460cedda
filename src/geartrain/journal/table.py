"""The journal's rows: how a batch is written with few statements, and how the jobs are read back.

Few, because each statement's step gives up the interpreter's lock and has to wait for it again, up to
`sys.getswitchinterval()` if the event loop is busy. A row each, as `executemany` does it, would make a commit
of a hundred jobs wait a hundred times; here it waits four or five times, however many jobs there are.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from ..broker.records import DEAD, Document, JobRecord
from ..errors import JournalError
from .packed import pack, unpack

MAX_BYTES: Final = 256 * 1024
"""Workload bytes of one statement. SQLite copies what is bound, and a cached statement keeps the copy."""
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


def write(
    connection: sqlite3.Connection,
    saved: Iterable[JobRecord],
    ended: Sequence[int],
    documents: Mapping[tuple[str, str], bytes | None],
) -> None:
    """Write all of it or nothing. It is durable when this returns.

    Raises:
        sqlite3.Error: nothing was written; a transaction may still be open.
    """
    parts = list(_parts(list(saved)))
    if len(parts) == 1 and not ended and not documents:
        _save(connection, parts[0])  # a statement alone is a transaction
        return
    connection.execute("BEGIN IMMEDIATE")
    for part in parts:
        _save(connection, part)
    if ended:
        connection.execute(_END, (json.dumps(ended),))
    for (kind, key), value in documents.items():
        if value is None:
            connection.execute(_REMOVE, (kind, key))
        else:
            connection.execute(_PUT, (kind, key, value, checksum_of_document(kind, key, value)))
    connection.execute("COMMIT")


def size_of(saved: Iterable[JobRecord]) -> int:
    """The bytes of the jobs' workloads."""
    return sum([len(record.workload) for record in saved])


def _parts(saved: list[JobRecord]) -> Iterator[list[JobRecord]]:
    if len(saved) <= _SIZES[-1] and size_of(saved) <= MAX_BYTES:
        if saved:
            yield saved
        return
    part: list[JobRecord] = []
    size = 0
    for record in saved:
        size += len(record.workload)
        if part and (size > MAX_BYTES or len(part) == _SIZES[-1]):
            yield part
            part = []
            size = len(record.workload)
        part.append(record)
    yield part


def _save(connection: sqlite3.Connection, part: list[JobRecord]) -> None:
    rows = _SIZES[bisect_left(_SIZES, len(part))]
    values: list[Any] = []
    for record in part:
        packed = pack(record)
        values += (record[0], packed, crc32(packed))
    values += values[-_WIDTH:] * (rows - len(part))
    connection.execute(_SAVE[rows], values)


def known(connection: sqlite3.Connection, numbers: Iterable[int]) -> set[int]:
    """Those of the numbers that a job is kept under."""
    found = connection.execute(
        "SELECT number FROM job WHERE number IN (SELECT value FROM json_each(?))",
        (json.dumps(list(numbers)),),
    )
    return {number for (number,) in found}


def one(connection: sqlite3.Connection, number: int) -> JobRecord | None:
    """The job of that number, if there is one."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM job WHERE number = ?", (number,)).fetchone()
    return None if row is None else unpack(*row)


def select(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """Every job, oldest first, to be read with `fetch`. Close the cursor before anything is written."""
    return connection.execute(f"SELECT {_COLUMNS} FROM job ORDER BY number")


def fetch(cursor: sqlite3.Cursor, path: str) -> list[JobRecord]:
    """The next jobs, some thousands; none when there are no more.

    Raises:
        JournalError: one of them is not what was written.
        sqlite3.Error: the file can't be read.
    """
    records = []
    for row in cursor.fetchmany(READ_ROWS):
        number, packed, checksum = row
        record = unpack(number, packed, checksum)
        if record is None:
            raise JournalError(f"job {number} in {path} is damaged: {ADVICE}")
        records.append(record)
    return records


def is_document_whole(row: Sequence[Any]) -> bool:
    """Whether a document's row is what was written."""
    kind, key, value, expected = row
    return isinstance(value, bytes) and checksum_of_document(kind, key, value) == expected


def documents(connection: sqlite3.Connection, path: str) -> list[Document]:
    """Every document.

    Raises:
        JournalError: one of them is not what was written.
        sqlite3.Error: the file can't be read.
    """
    found = []
    for row in connection.execute("SELECT kind, key, value, checksum FROM document"):
        if not is_document_whole(row):
            raise JournalError(f"the {row[0]} {row[1]!r} in {path} is damaged: {ADVICE}")
        found.append(Document(*row[:3]))
    return found


def numbers_and_uniques(connection: sqlite3.Connection) -> tuple[set[int], set[tuple[bytes, bytes]]]:
    """Of all jobs the numbers, and of those that are not dead what they coalesce by, see `coalesces_by`."""
    numbers: set[int] = set()
    uniques: set[tuple[bytes, bytes]] = set()
    for row in connection.execute(f"SELECT {_COLUMNS} FROM job"):
        numbers.add(row[0])
        record = unpack(*row)
        if record is not None and record.state != DEAD:
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
    return set(connection.execute("SELECT kind, key FROM document"))
