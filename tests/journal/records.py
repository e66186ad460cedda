"""Batches and jobs as tests of the journal make them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from geartrain.broker.records import QUEUED, Batch, Document, JobRecord, NewJobs, Run
from geartrain.journal import Journal, SqliteJournal


def job(number: int, workload: bytes = b"workload", **fields: object) -> JobRecord:
    """A job with a number; the rest is as good as any unless told otherwise."""
    record = JobRecord(number, b"reverse", b"unique %d" % number, workload, 1, 0.0, b"", QUEUED, b"", 0.0)
    return record._replace(**fields)  # type: ignore[arg-type]


def batch(
    saved: Iterable[JobRecord] = (),
    ended: Iterable[int] = (),
    documents: Iterable[tuple[str, str, bytes | None]] = (),
    new: Iterable[JobRecord] = (),
) -> Batch:
    """What one commit writes."""
    made = Batch(1)
    records = list(new)
    runs = [
        Run(record.number, 1, record.function, record.priority, record.reducer, 0.0) for record in records
    ]
    made.new = NewJobs(runs, [record.unique for record in records], [record.workload for record in records])
    # Only how many there are is asked for.
    made.gathered = [None] * len(records)  # type: ignore[list-item]
    made.again = {record.number: record for record in saved}
    made.ended = list(ended)
    made.documents = {(kind, key): value for kind, key, value in documents}
    return made


async def everything(journal: Journal) -> list[JobRecord]:
    """The jobs of an open journal."""
    return [record async for records in journal.jobs() for record in records]


def contents(path: str) -> tuple[list[JobRecord], list[Document]]:
    """What a journal holds, as the next server would find it."""

    async def read() -> tuple[list[JobRecord], list[Document]]:
        journal = SqliteJournal(path)
        documents = await journal.open()
        try:
            return await everything(journal), documents
        finally:
            await journal.close()

    return asyncio.run(read())
