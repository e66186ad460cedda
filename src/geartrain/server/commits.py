"""Group commit: the broker's batches go to the journal one by one; while one is written the next gathers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from ..broker import Broker
from ..broker.records import Batch
from ..errors import JournalError
from ..journal import Journal

RETRY_AFTER: Final = 0.1
"""Seconds between two commits while the journal fails; each answers the submissions that gathered."""
PROBE_AFTER: Final = 1.0
"""Seconds between two looks whether a journal works again that nobody wants anything of."""

_PROBE: Final = ("server", "probe")

_log = structlog.get_logger("geartrain.journal")


class Commits:
    """Writes what the broker gathers, one batch at a time.

    Args:
        flush: called after each commit, when peers were told.
    """

    def __init__(self, broker: Broker, journal: Journal, flush: Callable[[], None]) -> None:
        self._broker = broker
        self._journal = journal
        self._flush = flush
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._finishing = False
        self.failing = ""
        """Why new background jobs can't be kept now; empty if they can."""
        self.failing_since = 0.0
        """Since when, in seconds since the epoch; 0 if it does not fail."""
        self.on_refused: Callable[[set[bytes]], None] = lambda handles: None
        """Called when a commit failed, with the handles of the jobs that were new in it."""

    def begin(self) -> None:
        """There is a batch: commit it when this turn of the loop ends, unless a commit is on its way."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        else:
            self._wanted.set()

    async def settle(self) -> None:
        """Commit what there is before the first peer comes."""
        if self._broker.commit_is_due:
            await self._commit()
            if self.failing:
                self.begin()

    async def finish(self) -> None:
        """Commit what there is, and no more than once if it fails."""
        self._finishing = True
        self._wanted.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._broker.commit_is_due:
            await self._commit()

    async def _run(self) -> None:
        try:
            while not self._finishing:
                if self._broker.commit_is_due:
                    await self._commit()
                elif self.failing:
                    await self._probe()
                else:
                    return
                if self.failing and not self._finishing:
                    await self._rest()
        finally:
            self._task = None

    async def _rest(self) -> None:
        """Leave a failing journal alone for a while, longer if nobody wants anything of it."""
        self._wanted.clear()
        await asyncio.sleep(RETRY_AFTER)
        if not (self._broker.commit_is_due or self._finishing):
            try:
                await asyncio.wait_for(self._wanted.wait(), PROBE_AFTER)
            except TimeoutError:
                pass

    async def _commit(self) -> None:
        batch = self._broker.take_batch()
        try:
            if not batch.is_empty:
                await self._write(batch)
        except JournalError as error:
            self._fails(str(error))
            self.on_refused(self._broker.refused(self.failing))
        else:
            if self.failing and not batch.is_empty:
                await self._probe()
            self._broker.committed()
        self._flush()

    async def _write(self, batch: Batch) -> None:
        try:
            await self._journal.commit(batch)
        except JournalError:
            raise
        except Exception as error:
            # A fault of ours, or of the system's. Those who wait are told, and the next batch is tried.
            _log.exception("the journal met something that it was not made for")
            raise JournalError(f"{type(error).__name__}: {error}") from error

    async def _probe(self) -> None:
        """Find out whether the journal takes something new again. Ends of jobs it may take even if not."""
        try:
            for value in (b"", None):
                probe = Batch(0)
                probe.documents[_PROBE] = value
                await self._write(probe)
        except JournalError as error:
            self._fails(str(error))
        else:
            _log.info("the journal works again", after=round(time.time() - self.failing_since, 1))
            self.failing = self._broker.journal_trouble = ""
            self.failing_since = 0.0

    def _fails(self, reason: str) -> None:
        # Peers are told, and a path need not be text.
        reason = reason.encode("utf-8", "replace").decode()
        if self.failing != reason:
            _log.error("the journal fails; new background jobs are refused", reason=reason)
        self.failing = self._broker.journal_trouble = reason
        self.failing_since = self.failing_since or time.time()
