"""The journal in a SQLite file: what a server awaits, with one thread that blocks in its place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from ..broker.records import Batch, Document, JobRecord
from .file import JournalFile
from .packed import pack_together
from .thread import BlockingThread

_T = TypeVar("_T")


class SqliteJournal:
    """A `Journal` in one file, `PATH`, and some beside it.

    `PATH-wal` and `PATH-shm` are SQLite's; `PATH.lock` keeps a second server out; `PATH.ballast` holds room
    for the end of what was accepted, see `room.py`.

    Args:
        path: where the file is, or is to be; its folder is made if need be.
        max_bytes: what the file may grow to, in bytes; new jobs are refused then. 0: no limit.
    """

    durable = True

    def __init__(self, path: str, *, max_bytes: int = 0) -> None:
        self._file = JournalFile(path, max_bytes=max_bytes)
        self.name = f"sqlite:{self._file.path}"
        self._thread: BlockingThread | None = None

    async def open(self) -> list[Document]:
        """Take hold of the file, making or migrating it if need be; returns its documents.

        Raises:
            JournalError: it is in use, not a journal, damaged, or out of reach. Nothing was changed.
        """
        self._thread = BlockingThread("geartrain-journal")
        try:
            await self._call(self._file.open)
            return await self._call(self._file.documents)
        except BaseException:
            await self.close()
            raise

    async def jobs(self) -> AsyncIterator[list[JobRecord]]:
        """Every job that has not ended, oldest first, some thousands at a time.

        Raises:
            JournalError: it can't be read, or a job is not what was written.
        """
        records = self._file.jobs()
        try:
            while some := await self._call(next, records, []):
                yield some
        finally:
            await self._call(records.close)

    async def commit(self, batch: Batch) -> None:
        """Write a batch as a whole; it is durable when this returns.

        Raises:
            JournalError: nothing new of it was written. A later commit may succeed.
        """
        # As much as can be is done here, where the interpreter's lock is not fought for.
        await self._call(self._file.write, batch, pack_together(batch.new), self._file.is_in_place)

    async def close(self) -> None:
        """Let go of the file.

        Raises:
            JournalError: it was deleted meanwhile and could not be put back.
        """
        if self._thread is None:
            return
        try:
            await self._call(self._file.close)
        finally:
            thread, self._thread = self._thread, None
            thread.stop()

    async def _call(self, function: Callable[..., _T], *args: object) -> _T:
        if self._thread is None:
            raise RuntimeError(f"{self.name} is not open")
        return await self._thread.call(function, *args)
