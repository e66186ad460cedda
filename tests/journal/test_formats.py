"""A journal of an earlier format is read as it is, and migrated by the server that takes it up."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from geartrain.broker.records import DEAD, QUEUED, Document, JobRecord
from geartrain.journal import SqliteJournal, offline, schema

from .records import batch, contents, job

FORMATS: Final = Path(__file__).parent / "formats"
FIRST: Final = 1732459863000001

EXPECTED: Final = [
    JobRecord(
        FIRST + i,
        b"reverse" if i % 3 else b"report",
        b"unique %d" % i if i % 2 else b"",
        b"workload %d" % i,
        i % 3,
        1732460000.0 if i == 4 else 0.0,
        b"reducer" if i == 5 else b"",
        DEAD if i == 6 else QUEUED,
        b'[3, [[1732459863.5, "worker lost"]]]' if i == 6 else b"",
        1732459863.25,
    )
    for i in range(12)
]
DOCUMENTS: Final = [Document("server", "host", b"here"), Document("server", "numbers", b"1732459864000013")]


def test_there_is_a_file_of_every_earlier_version() -> None:
    assert sorted(path.name for path in FORMATS.iterdir()) == [f"{n}.db" for n in range(1, schema.VERSION)]


@pytest.fixture(params=range(1, schema.VERSION))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A copy of a file as an earlier release left it."""
    return str(shutil.copy(FORMATS / f"{request.param}.db", tmp_path / "journal.db"))


def version(path: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_an_old_journal_is_looked_at_and_not_changed(old: str) -> None:
    before = Path(old).read_bytes()
    assert list(offline.check(old)) == []
    assert sum(counts["queued"] for counts in offline.summarize(old, 2e9).functions.values()) == 11
    with offline.reading(old) as connection:
        assert list(offline.everything(connection, old)) == [*DOCUMENTS, *EXPECTED]
    assert Path(old).read_bytes() == before


def test_an_old_journal_is_migrated_and_goes_on(old: str) -> None:
    new = [job(FIRST + 1000 + number) for number in range(20)]

    async def serve() -> None:
        journal = SqliteJournal(old)
        assert await journal.open() == DOCUMENTS
        await journal.commit(batch(ended=[FIRST + 2], new=new))
        await journal.close()

    asyncio.run(serve())
    assert version(old) == schema.VERSION
    expected = [record for record in EXPECTED if record.number != FIRST + 2]
    assert contents(old) == ([*expected, *new], DOCUMENTS)
