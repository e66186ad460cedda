"""What a journal is: where the jobs that were acknowledged survive the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ..broker.records import Batch, Document, JobRecord


class Journal(Protocol):
    """Keeps what a broker must not lose.

    One server uses it at a time: `open`, then all of `jobs`, then any number of commits, one after the
    other, then `close`.
    """

    durable: bool
    """Whether anything survives; a server does not even gather batches for a journal where nothing does."""
    name: str
    """How people call it, as in ``sqlite:/var/lib/geartrain/journal.db``."""

    async def open(self) -> list[Document]:
        """Take hold of the journal, creating or migrating it if need be; returns its documents.

        Raises:
            JournalError: it is in use, not a journal, damaged, or out of reach. Nothing was changed.
        """
        ...

    def jobs(self) -> AsyncIterator[list[JobRecord]]:
        """Every job that has not ended, oldest first, some thousands at a time.

        Raises:
            JournalError: it can't be read.
        """
        ...

    async def commit(self, batch: Batch) -> None:
        """Write a batch as a whole; it is durable when this returns.

        Raises:
            JournalError: nothing new of it was written. A later commit may succeed.
        """
        ...

    async def close(self) -> None:
        """Let go of the journal."""
        ...
