"""The journal's file: opening and refusing it, writing it, and what happens when the disk fails.

Everything here blocks and belongs to one thread; `sqlite.py` is what a server awaits.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator
from typing import Final

from ..broker.records import Batch, Document, JobRecord
from ..errors import JournalError
from . import schema, table
from .alive import Alive
from .lock import Lock
from .looking import BUSY_TIMEOUT, inspect, read
from .packed import Packed, pack_together
from .room import Ballast
from .troubles import damaged, full, is_full, trouble

PAGE: Final = 4096
"""Bytes of a page of a new file."""
MERGE_AFTER: Final = 1000
"""Pages in the write-ahead log after which a commit merges them into the database. It takes some
milliseconds; the ballast is measured by it."""
SHRINK_BY: Final = 2000
"""Pages that a file gives back at a time when its disk is full; they pass through the log."""
LOG_KEPT: Final = 16 * 1024 * 1024
"""Bytes of the write-ahead log's file that stay after a batch that was larger."""
CACHE: Final = 8 * 1024 * 1024
"""Bytes of pages that a connection keeps."""

_Identity = tuple[int, int]


class JournalFile:
    """One SQLite file with jobs.

    Args:
        path: where it is, or is to be.
        max_bytes: what it may grow to; 0: as large as the disk allows.
    """

    def __init__(self, path: str, *, max_bytes: int = 0) -> None:
        self.path = os.path.abspath(path)
        self._max_pages = max(1, max_bytes // PAGE) if max_bytes else 0
        self._lock = Lock(self.path)
        self._ballast = Ballast(self.path)
        self._connection: sqlite3.Connection | None = None
        # What writes, through that connection.
        self._cursor: sqlite3.Cursor | None = None
        self._alive = Alive()
        # Whether the last write failed in a way that a new connection may mend.
        self._is_suspect = False
        # The database and its write-ahead log as they were when they were opened.
        self._database: _Identity | None = None
        self._log: _Identity | None = None

    # Opening and closing

    def open(self) -> None:
        """Take hold of the file, making or migrating it if need be.

        Raises:
            JournalError: it is in use, not a journal, damaged, or out of reach. Nothing was changed.
        """
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        except OSError as error:
            raise JournalError(
                f"the folder of {self.path} can't be made ({error.strerror}): make it, or choose another path"
            ) from error
        self._lock.acquire()
        try:
            version = inspect(self.path)
            # With the rights that SQLite then gives the files beside it: workloads are nobody's business.
            if not os.path.exists(self.path):
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            elif not os.path.getsize(self.path):
                os.chmod(self.path, 0o600)
            connection = self._connect()
            try:
                schema.migrate(connection, version)
                _check(connection, self.path)
                self._alive = table.load(connection, self.path)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            self._lock.release()
            raise trouble(self.path, error) from error
        except OSError as error:
            self._lock.release()
            raise JournalError(
                f"{self.path} can't be made ({error.strerror}): choose a path where this user may write"
            ) from error
        except BaseException:
            self._lock.release()
            raise
        self._adopt(connection)
        self._ballast.lay()

    def close(self) -> None:
        """Let go of the file. If it vanished meanwhile, it is put back first.

        Raises:
            JournalError: it could not be put back.
        """
        if self._connection is None:
            return
        try:
            self._stay_in_place()
        finally:
            self._disconnect()
            self._connection = None
            self._lock.release()

    # Reading

    def documents(self) -> list[Document]:
        """Every document."""
        try:
            return table.documents(self._open_connection, self.path)
        except sqlite3.Error as error:
            raise trouble(self.path, error) from error

    def jobs(self) -> Generator[list[JobRecord], None, None]:
        """Every job, oldest first, some thousands at a time. Nothing may be written meanwhile."""
        return read(self._open_connection, self.path)

    def contents(self) -> tuple[set[int], set[tuple[bytes, bytes]], set[tuple[str, str]]]:
        """Numbers of jobs, functions with uniques, and what documents are found by."""
        try:
            return *table.numbers_and_uniques(self._open_connection, self.path), table.keys(
                self._open_connection
            )
        except sqlite3.Error as error:
            raise trouble(self.path, error) from error

    def job(self, number: int) -> JobRecord | None:
        """The job of that number, if there is one."""
        try:
            return table.one(self._open_connection, self._alive, number)
        except sqlite3.Error as error:
            raise trouble(self.path, error) from error

    # Writing

    def write(self, batch: Batch, packed: Packed | None = None, in_place: bool = False) -> None:
        """Write a batch as a whole; it is durable when this returns.

        On a full disk a batch is refused if it holds new jobs or documents. What it says about older ones is
        written all the same, in the room that is kept for that, so that it is not lost if the server ends
        before the disk has room again. (It does no harm that it will be written again.)

        Args:
            batch: what to write.
            packed: its new jobs, if somebody has packed them.
            in_place: whether somebody has just seen that the file `is_in_place`.

        Raises:
            JournalError: nothing new of it was written. A later call may succeed.
        """
        if packed is None:
            packed = pack_together(batch.new)
        if not in_place:
            self._stay_in_place()
        try:
            if self._is_suspect:
                self._reconnect()
            if self._lay_ballast() and self._ballast.allows(table.size_of(batch, packed)):
                try:
                    table.write(self._open_cursor, self._alive, batch, packed)
                    return
                except sqlite3.Error as error:
                    if not is_full(error):
                        raise
                    self._roll_back()
            self._write_owed(batch)
        except sqlite3.Error as error:
            self._roll_back()
            self._is_suspect = not is_full(error)
            raise trouble(self.path, error) from error
        except BaseException:
            # Nobody foresaw this; nothing of the batch stays all the same.
            self._roll_back()
            self._is_suspect = True
            raise

    def _lay_ballast(self) -> bool:
        """Keep room for the end of what is accepted; returns whether it is kept."""
        if self._ballast.lay():
            return True
        # Jobs that ended left room within the file: give it back to the disk, some of it each time.
        connection = self._open_connection
        try:
            connection.execute(f"PRAGMA incremental_vacuum({SHRINK_BY})").fetchall()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            if not is_full(error):
                raise
            return False  # not even room for that; the ends of jobs may still fit
        return self._ballast.lay()

    def _write_owed(self, batch: Batch) -> None:
        """Write what a batch says about jobs and documents that were accepted before."""
        self._ballast.give_up()
        connection = self._open_connection
        # A merged log is written from its beginning again, which takes no room.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        numbers = table.known(connection, self._alive, batch.again)
        saved = [record for number, record in batch.again.items() if number in numbers]
        kept = table.keys(connection)
        # What is noted along with a job, such as a schedule's run, must not be there without it.
        is_whole = not batch.new.workloads and len(saved) == len(batch.again)
        documents = {
            key: value
            for key, value in batch.documents.items()
            if value is None or (is_whole and key in kept)
        }
        table.write_owed(self._open_cursor, self._alive, saved, batch.ended, documents)
        if not is_whole or len(documents) < len(batch.documents):
            raise full(self.path)

    def compact(self) -> None:
        """Give back the room that ended jobs took.

        It needs as much as the remaining ones take meanwhile: beside the file, and in the system's folder for
        temporary files.

        Raises:
            JournalError: it failed; the journal is as it was.
        """
        self._ballast.give_up()
        try:
            # It makes a copy of all that is left, which is nothing for the memory.
            self._open_connection.execute("PRAGMA temp_store = FILE")
            self._open_connection.execute("VACUUM")
            self._open_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise trouble(self.path, error) from error
        finally:
            self._open_connection.execute("PRAGMA temp_store = MEMORY")
            self._ballast.lay()

    # The connection

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError(f"{self.path} is not open")
        return self._connection

    @property
    def _open_cursor(self) -> sqlite3.Cursor:
        if self._cursor is None:
            self._cursor = self._open_connection.cursor()
        return self._cursor

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=table.STATEMENTS,
        )
        try:
            connection.execute(f"PRAGMA page_size = {PAGE}")
            if not os.path.getsize(self.path):  # later it would only be written once more
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise JournalError(
                    f"{self.path} is on a file system that can't share memory between processes, such as a "
                    "network's: choose a path on a local disk"
                )
            for pragma in (
                "synchronous = FULL",
                # Where the system has it (macOS), the drive itself is waited for.
                "fullfsync = ON",
                "checkpoint_fullfsync = ON",
                f"wal_autocheckpoint = {MERGE_AFTER}",
                f"journal_size_limit = {LOG_KEPT}",
                f"cache_size = -{CACHE // 1024}",
                "temp_store = MEMORY",
                "cell_size_check = ON",
                "trusted_schema = OFF",
                # It would overwrite what is deleted, at the cost of every commit.
                "secure_delete = OFF",
                f"max_page_count = {self._max_pages}" if self._max_pages else "max_page_count",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _adopt(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._is_suspect = False
        self._database = _identity(self.path)
        self._log = _identity(self.path + "-wal")

    def _reconnect(self) -> None:
        connection = self._connect()
        self._disconnect()
        self._adopt(connection)
        # What failed may have been written all the same.
        self._is_suspect = True
        self._alive = table.load(connection, self.path)
        self._is_suspect = False

    def _disconnect(self) -> None:
        # The cursor first: as long as it has a statement that failed, the file stays open behind our backs.
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
        with contextlib.suppress(sqlite3.Error):
            self._open_connection.close()

    def _roll_back(self) -> None:
        connection = self._open_connection
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._is_suspect = True

    # A file that vanished while it was open

    @property
    def is_in_place(self) -> bool:
        """Whether the files that are open are those at their paths."""
        return _identity(self.path) == self._database and _identity(self.path + "-wal") == self._log

    def _stay_in_place(self) -> None:
        """See that the files that are open are still those at their paths, or put a copy there.

        What was deleted is readable as long as it is open.

        Raises:
            JournalError: it can't be put back.
        """
        if self.is_in_place:
            return
        found = _identity(self.path)
        if self._is_suspect and self._log is None and found == self._database:
            return  # it was put back, and only waits to be opened
        if found is not None and found != self._database:
            raise JournalError(
                f"another file took the place of {self.path} while it was in use: move that one away, and "
                "the journal is put back by itself"
            )
        try:
            self._put_back()
        except sqlite3.Error as error:
            raise JournalError(f"{self.path} was deleted and can't be put back yet: {error}") from error
        except OSError as error:
            raise JournalError(
                f"{self.path} was deleted and can't be put back yet ({error.strerror}): see that its folder "
                "is there and can be written"
            ) from error

    def _put_back(self) -> None:
        self._lock.acquire()
        temporary = self.path + ".salvaged"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copy = sqlite3.connect(temporary, isolation_level=None)
        try:
            self._open_connection.backup(copy)
        finally:
            copy.close()
        _sync(temporary)
        # A log that belongs to the old file must not meet the new one. The old connection's end deletes a log
        # by its path too, so it comes before the new one's beginning.
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path + suffix)
        os.replace(temporary, self.path)
        _sync(os.path.dirname(self.path))
        # From here on the file is whole. If it can't be opened now, the next write tries again.
        self._database = _identity(self.path)
        self._log = None
        self._is_suspect = True
        self._disconnect()
        self._reconnect()
        self._ballast.is_laid = False
        self._ballast.lay()


def _check(connection: sqlite3.Connection, path: str) -> None:
    said = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if said != ["ok"]:
        raise damaged(path, "; ".join(said))


def _identity(path: str) -> _Identity | None:
    """Which file is there, if any."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise JournalError(
            f"{path} is out of reach ({error.strerror}): see that this user may enter its folder"
        ) from error
    return found.st_dev, found.st_ino


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
