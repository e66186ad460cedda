"""The journal's file format: four tables in a SQLite database that says what it is.

    job        a background job that has not ended
    batch      background jobs that came together and were not written again since, by their first number
    gone       which of a batch's jobs have ended, or were written again and are in `job`: a bit each
    document   small things to keep that are not jobs, by kind and key

The file is known by its `application_id`; `user_version` is the format's version.

To change the format:

1. Raise `VERSION` by one and change `_CREATE`, which makes a new file as the newest version wants it.
2. Append one list of statements to `_MIGRATIONS`: the one at index n leads from version n + 1 to n + 2. They
   all run in one transaction, so a file has one version or the other. Never change an entry once released.
3. Put a file of the old version, made by the old release, into tests/journal/formats; the test there opens
   every version and expects its jobs.
4. Say in the changelog that older releases will refuse the file.

Columns are only ever added behind the others, and `table.py` names every column that it reads or writes. What
`packed.py` packs changes with the version too.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ..errors import JournalError

APPLICATION_ID: Final = 0x47547231
"""What a journal has at byte 68: `GTr1`."""
VERSION: Final = 2
"""The version of the format that this release writes."""

# What is packed says `packed.py`. The checksums cover all that a row holds.
_BATCHES: Final = (
    """CREATE TABLE batch (
        first INTEGER PRIMARY KEY, runs BLOB NOT NULL, jobs BLOB NOT NULL, checksum INTEGER NOT NULL
    )""",
    "CREATE TABLE gone (first INTEGER PRIMARY KEY, bits BLOB NOT NULL, checksum INTEGER NOT NULL)",
)
_CREATE: Final = (
    "CREATE TABLE job (number INTEGER PRIMARY KEY, packed BLOB NOT NULL, checksum INTEGER NOT NULL)",
    """CREATE TABLE document (
        kind TEXT, key TEXT, value BLOB NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (kind, key)
    ) WITHOUT ROWID""",
    *_BATCHES,
)

_MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_BATCHES,)


def version_of(connection: sqlite3.Connection, path: str) -> int:
    """The version of the format that a file has; 0 for a database that is still empty.

    Raises:
        JournalError: it is a database, but not a journal, or one of a later release.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        if version > VERSION:
            raise JournalError(
                f"{path} has format {version} and this release knows formats up to {VERSION}: "
                "run the release that wrote it, or a later one"
            )
        return int(version)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application or version or tables:
        raise JournalError(
            f"{path} is the database of another program, not a journal: give the journal another path. "
            "(A queue of gearmand is taken over with `geartrain journal import`.)"
        )
    return 0


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file from the given version to the newest, in one transaction."""
    if version == VERSION:
        return
    statements = _CREATE if version == 0 else _steps(version)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def imitate(connection: sqlite3.Connection, version: int) -> None:
    """Give a connection that may change nothing the tables that an older version lacks, as empty ones."""
    connection.execute("PRAGMA temp_store = MEMORY")
    for statement in _steps(version):
        connection.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE"))


def _steps(version: int) -> list[str]:
    return [statement for step in _MIGRATIONS[version - 1 :] for statement in step]
