"""Jobs that came together share a row: until they end, are written again, or only few of them are left."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path

import pytest

from geartrain.broker.records import DEAD, Document, JobRecord
from geartrain.errors import JournalError
from geartrain.journal import SqliteJournal, offline

from .records import batch, contents, job


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


def jobs(first: int, last: int) -> list[JobRecord]:
    return [job(number, b"workload %d" % number) for number in range(first, last + 1)]


def run(path: str, work: Callable[[SqliteJournal], Coroutine[object, object, None]], **options: int) -> None:
    """Do something with an open journal."""

    async def whole() -> None:
        journal = SqliteJournal(path, **options)
        await journal.open()
        try:
            await work(journal)
        finally:
            await journal.close()

    asyncio.run(whole())


def rows(path: str) -> dict[str, list[int]]:
    """The keys of the rows in each of the tables that hold jobs."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        for table, key in (("job", "number"), ("batch", "first"), ("gone", "first")):
            found[table] = [
                number for (number,) in connection.execute(f"SELECT {key} FROM {table} ORDER BY 1")
            ]
    return found


def everything(path: str) -> list[JobRecord | Document]:
    """What an export would hold, without what is damaged."""
    with offline.reading(path) as connection:
        whole = offline.everything(connection, path, skip_damaged=True)
        return [found for found in whole if not isinstance(found, str)]


def test_jobs_that_came_together_share_a_row_until_the_last_has_ended(path: str) -> None:
    async def begin(journal: SqliteJournal) -> None:
        await journal.commit(batch(new=jobs(1, 100)))
        assert rows(path) == {"job": [], "batch": [1], "gone": []}
        await journal.commit(batch(ended=[1, 2, 50, 100]))

    async def end(journal: SqliteJournal) -> None:
        await journal.commit(batch(ended=list(range(3, 50))))
        assert rows(path)["batch"] == [1]
        await journal.commit(batch(ended=list(range(51, 100))))

    run(path, begin)
    assert rows(path) == {"job": [], "batch": [1], "gone": [1]}
    assert contents(path)[0] == [*jobs(3, 49), *jobs(51, 99)]
    run(path, end)
    assert rows(path) == {"job": [], "batch": [], "gone": []}
    assert contents(path)[0] == []


def test_a_job_that_is_written_again_leaves_its_batch_and_keeps_its_place(path: str) -> None:
    again = job(20, b"workload 20", state=DEAD, history=b"[]")

    async def work(journal: SqliteJournal) -> None:
        await journal.commit(batch(new=jobs(11, 30)))
        await journal.commit(batch([again]))
        await journal.commit(batch([again._replace(history=b"[1]")], ended=[21]))

    run(path, work)
    assert rows(path) == {"job": [20], "batch": [11], "gone": [11]}
    expected = [*jobs(11, 19), again._replace(history=b"[1]"), *jobs(22, 30)]
    assert contents(path)[0] == expected
    run(path, lambda journal: journal.commit(batch(ended=[20, 11])))
    assert contents(path)[0] == [*jobs(12, 19), *jobs(22, 30)]


def test_all_jobs_are_replayed_in_order_whatever_rows_they_are_in(path: str) -> None:
    alone = [job(5), job(25), job(60), job(170)]

    async def work(journal: SqliteJournal) -> None:
        await journal.commit(batch(new=[*jobs(10, 24), *jobs(26, 40)]))
        await journal.commit(batch(new=jobs(50, 52)))  # too few to share a row
        await journal.commit(batch(new=[*jobs(55, 59), *jobs(61, 100)]))
        await journal.commit(batch(alone))

    run(path, work)
    assert rows(path) == {"job": [5, 25, 50, 51, 52, 60, 170], "batch": [10, 55], "gone": []}
    numbers = [record.number for record in contents(path)[0]]
    assert numbers == [5, *range(10, 41), 50, 51, 52, *range(55, 101), 170]


def test_the_few_that_are_left_of_a_batch_do_not_hold_its_room(path: str) -> None:
    async def work(journal: SqliteJournal) -> None:
        await journal.commit(batch(new=jobs(1, 200)))
        await journal.commit(batch(ended=[number for number in range(1, 201) if number % 20]))

    run(path, work)
    left = list(range(20, 201, 20))
    assert rows(path) == {"job": left, "batch": [], "gone": []}
    assert [record.number for record in contents(path)[0]] == left


def test_a_batch_that_is_too_large_for_a_row_takes_several(path: str) -> None:
    large = [job(number, b"w" * 20_000) for number in range(5001, 5051)]
    far = [job(number) for number in range(100_000, 1_000_000, 90_000)]
    whole = [*jobs(1, 5000), *large, *far]
    run(path, lambda journal: journal.commit(batch(new=whole)))
    assert len(rows(path)["batch"]) >= 8
    assert set(rows(path)["job"]) >= {record.number for record in far}
    assert contents(path)[0] == whole


def test_a_full_disk_does_not_bring_back_the_ended_ones_of_a_batch(path: str) -> None:
    """The file's own limit stands for the disk's."""

    async def work(journal: SqliteJournal) -> None:
        first = 1
        with contextlib.suppress(JournalError):
            while first < 100_000:
                await journal.commit(
                    batch(new=[job(number, b"w" * 1000) for number in range(first, first + 100)])
                )
                first += 100
        assert 100 < first < 2000
        accepted.extend(range(1, first))
        with pytest.raises(JournalError, match="no room is left"):
            await journal.commit(
                batch(
                    [job(7, b"w" * 1000, history=b"again")],
                    ended=range(10, 95),
                    new=[job(number, b"w" * 1000) for number in range(first, first + 100)],
                )
            )

    accepted: list[int] = []
    run(path, work, max_bytes=1_000_000)
    found = {record.number: record for record in contents(path)[0]}
    assert list(found) == [number for number in accepted if not 10 <= number < 95]
    assert found[7].history == b"again"


@pytest.mark.parametrize("table", ["batch", "gone"])
def test_a_damaged_batch_is_named_and_the_others_are_saved(path: str, table: str) -> None:
    async def work(journal: SqliteJournal) -> None:
        await journal.commit(batch([job(5)], new=jobs(11, 30)))
        await journal.commit(batch(ended=[12], new=jobs(31, 50)))

    run(path, work)
    assert list(offline.check(path)) == []
    column = "jobs" if table == "batch" else "bits"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE {table} SET {column} = zeroblob(length({column})) WHERE first = 11")
    with pytest.raises(JournalError, match=r"batch of jobs from 11 on .* is damaged"):
        contents(path)
    assert list(offline.check(path)) == ["the batch of jobs from 11 on is damaged"]
    assert everything(path) == [job(5), *jobs(31, 50)]


def test_a_batch_is_exported_and_imported(path: str, tmp_path: Path) -> None:
    other = str(tmp_path / "other.db")

    async def work(journal: SqliteJournal) -> None:
        await journal.commit(batch(new=jobs(11, 30)))
        await journal.commit(batch(ended=[15]))

    run(path, work)
    assert offline.take_over(other, everything(path))[:2] == (19, 0)
    assert contents(other) == contents(path)
    # Into the journal that they are in: they are found in their batch.
    assert offline.take_over(path, everything(other))[:2] == (0, 19)
    assert offline.summarize(path, 1.0).functions[b"reverse"]["queued"] == 19
