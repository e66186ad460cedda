"""The journal that keeps nothing: jobs live as long as the server."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..broker.records import Batch, Document, JobRecord


class MemoryJournal:
    """A `Journal` for servers whose jobs need not survive them, and for tests."""

    durable = False
    name = "memory"

    async def open(self) -> list[Document]:
        """Nothing was kept."""
        return []

    async def jobs(self) -> AsyncIterator[list[JobRecord]]:
        """Nothing was kept."""
        none: tuple[list[JobRecord], ...] = ()
        for records in none:
            yield records

    async def commit(self, batch: Batch) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """There is nothing to let go of."""
