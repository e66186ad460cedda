"""The queue tables of gearmand, so that a site moves without losing a job.

gearmand writes `(unique_key, function_name, priority, data, when_to_run)` into one table, whatever the
database: priority 0 is high, 1 normal, 2 low. (A reducer it does not write.)
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..errors import JournalError

COLUMNS: Final = ("unique_key", "function_name", "priority", "data", "when_to_run")
READ_ROWS: Final = 1000
"""Rows that are read at once."""


class QueuedJob(NamedTuple):
    """A job in a queue of gearmand. `due` is in seconds since the epoch, 0 for at once."""

    unique: bytes
    function: bytes
    priority: int
    workload: bytes
    due: float


def is_queue(path: str) -> bool:
    """Whether a file is a SQLite database with a queue of gearmand."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(path)) as connection:
        return bool(_tables(connection))
    return False


def read_file(path: str, table: str = "") -> Iterator[QueuedJob]:
    """The jobs in a SQLite file of gearmand, the oldest first.

    Args:
        path: the file that was given to gearmand as `--libsqlite3-db`.
        table: the name of the table, if gearmand was given another than its own.

    Raises:
        JournalError: there is no such table, or the file can't be read.
    """
    try:
        with contextlib.closing(_connect(path)) as connection:
            # gearmand declares names as text, but they are bytes to it and need not be UTF-8.
            connection.text_factory = bytes
            table = _chosen(path, table, _tables(connection))
            columns = ", ".join(COLUMNS)
            cursor = connection.execute(f'SELECT {columns} FROM "{table}" ORDER BY rowid')
            while rows := cursor.fetchmany(READ_ROWS):
                yield from map(_job, rows)
    except sqlite3.Error as error:
        raise JournalError(f"{path} can't be read as a queue of gearmand: {error}") from error


def read_database(url: str, table: str = "") -> Iterator[QueuedJob]:
    """The jobs in a database of gearmand, such as MySQL or PostgreSQL.

    Args:
        url: as SQLAlchemy has it, such as `postgresql+psycopg://user@host/database`.
        table: the name of the table, if it can't be told which it is.

    Raises:
        JournalError: SQLAlchemy or the database's driver is not installed, the database can't be reached, or
            there is no such table.
    """
    try:
        import sqlalchemy as sa
    except ImportError:
        raise JournalError(
            "reading a database takes SQLAlchemy: pip install 'geartrain[import]', and the database's driver"
        ) from None
    try:
        engine = sa.create_engine(url)
    except sa.exc.NoSuchModuleError as error:
        raise JournalError(f"no driver is known by this name: {error}") from None
    except (sa.exc.ArgumentError, ValueError) as error:
        # Without it: it may hold a password.
        raise JournalError(f"this is no address of a database: {type(error).__name__}") from None
    except ImportError as error:
        raise JournalError(
            f"the driver of {url.partition(':')[0]} is missing ({error}): install it"
        ) from None
    try:
        inspector = sa.inspect(engine)
        found = [
            name
            for name in inspector.get_table_names()
            if set(COLUMNS) <= {column["name"] for column in inspector.get_columns(name)}
        ]
        chosen = sa.table(_chosen(engine.url.render_as_string(), table, found), *map(sa.column, COLUMNS))
        with engine.connect().execution_options(stream_results=True, yield_per=READ_ROWS) as connection:
            yield from map(_job, connection.execute(sa.select(*chosen.columns)))
    except sa.exc.SQLAlchemyError as error:
        raise JournalError(f"{engine.url.render_as_string()} can't be read: {error}") from error
    finally:
        engine.dispose()


def _connect(path: str) -> sqlite3.Connection:
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file:{quoted}?mode=ro", uri=True)


def _tables(connection: sqlite3.Connection) -> list[str]:
    found = []
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        text = name.decode() if isinstance(name, bytes) else str(name)
        columns = connection.execute("SELECT name FROM pragma_table_info(?)", (text,)).fetchall()
        names = {column.decode() if isinstance(column, bytes) else column for (column,) in columns}
        if set(COLUMNS) <= names:
            found.append(text)
    return found


def _chosen(where: str, wanted: str, found: list[str]) -> str:
    if wanted in found or (not wanted and len(found) == 1):
        return wanted or found[0]
    if not found:
        raise JournalError(
            f"{where} has no table with the columns of a queue of gearmand: {', '.join(COLUMNS)}"
        )
    raise JournalError(
        f"{where} has these queues of gearmand: {', '.join(sorted(found))}; say which with --table"
    )


def _job(row: Any) -> QueuedJob:
    unique, function, priority, data, when = row
    priority = int(priority)
    return QueuedJob(
        _bytes(unique),
        _bytes(function),
        priority if priority in (0, 1, 2) else 1,
        _bytes(data),
        float(when or 0),
    )


def _bytes(value: Any) -> bytes:
    if value is None:
        return b""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
