"""A journal's file for those who only look, also while a server writes: whether it is one, what is in it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Generator, Iterable
from typing import Final

from ..broker.records import JobRecord
from ..errors import JournalError
from . import schema, table
from .troubles import code_of, trouble

BUSY_TIMEOUT: Final = 1.0
"""Seconds that a commit waits for another program that locks the file, such as a `sqlite3` shell."""


def read(connection: sqlite3.Connection, path: str) -> Generator[list[JobRecord], None, None]:
    """Every job of an open file, oldest first, some thousands at a time.

    Raises:
        JournalError: it can't be read, or holds something that was not written.
    """
    try:
        yield from table.jobs(connection, path)
    except sqlite3.Error as error:
        raise trouble(path, error) from error


def inspect(path: str, *, damaged: bool = False) -> int:
    """The version of the format that a file has, without changing it; 0 if it is still to be made.

    With `damaged` a file whose end is missing is looked at, too.

    Raises:
        JournalError: it is not a journal, or out of reach.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise JournalError(f"{path} is out of reach: {error.strerror}") from error
    if found is not None and not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise JournalError(f"{path} is {kind}: give the journal a path of its own")
    if found is None or not found.st_size:
        log = path + "-wal"
        if os.path.exists(log) and os.path.getsize(log):
            raise JournalError(
                f"{path} is missing or empty, but {log} belongs to it and may hold jobs: put {path} back, or "
                f"delete {log} to begin anew"
            )
        return 0
    try:
        with open(path, "rb") as file:
            is_database = file.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise JournalError(f"{path} can't be read ({error.strerror}): check its permissions") from error
    if not is_database:
        raise JournalError(
            f"{path} is not a journal, or its beginning is damaged: give the journal another path, or put a "
            "copy back"
        )
    try:
        try:
            return _version_of(path, "ro", damaged)
        except sqlite3.OperationalError as error:
            # Its making was interrupted, before it had a log; that has to be undone first.
            if code_of(error) != sqlite3.SQLITE_READONLY:
                raise
            return _version_of(path, "rw", damaged)
    except sqlite3.Error as error:
        raise trouble(path, error) from error


def _version_of(path: str, mode: str, damaged: bool) -> int:
    with contextlib.closing(_connect(path, mode, damaged)) as connection:
        return schema.version_of(connection, path)


def connect_to_read(path: str, *, damaged: bool = False) -> sqlite3.Connection:
    """A connection that changes nothing, also while a server writes, and sees the file as it is now.

    With `damaged` a file whose end is missing is opened, too; what stood there can't be read.
    """
    connection = _connect(path, "ro", damaged)
    try:
        version = schema.version_of(connection, path)
        if not version:  # it is empty, and so are the tables that a new one has
            connection.close()
            connection = sqlite3.connect(":memory:", isolation_level=None)
            schema.migrate(connection, version)
            return connection
        schema.imitate(connection, version)
        connection.execute("BEGIN")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str, mode: str, damaged: bool) -> sqlite3.Connection:
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    url = f"file:{quoted}?mode={mode}"
    if mode == "ro" and not os.path.exists(path + "-wal"):
        url += "&immutable=1"  # nobody writes it, and nothing is left beside it
    connection = sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    if damaged:
        # SQLite refuses a file that is shorter than its first page says, but not those who come to mend it.
        connection.execute("PRAGMA writable_schema = ON")
    return connection


def paths_of(path: str) -> Iterable[str]:
    """The journal's file and those beside it."""
    return (path, path + "-wal", path + "-shm")
