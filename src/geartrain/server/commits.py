"""Group commit: the broker's batches go to the journal one by one; while one is written the next gathers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from ..broker import Broker
from ..errors import JournalError
from ..journal import Journal

RETRY_AFTER: Final = 0.1
"""Seconds between two commits while the journal fails; each answers the submissions that gathered."""

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
        self._finishing = False
        self.failing = ""
        """Why the last commit failed; empty when it did not."""

    def begin(self) -> None:
        """There is a batch: commit it when this turn of the loop ends, unless a commit is on its way."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def finish(self) -> None:
        """Commit what there is, and no more than once if it fails."""
        self._finishing = True
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._broker.commit_is_due:
            await self._commit()

    async def _run(self) -> None:
        try:
            while self._broker.commit_is_due:
                await self._commit()
                if self._finishing:
                    return
                if self.failing:
                    await asyncio.sleep(RETRY_AFTER)
        finally:
            self._task = None

    async def _commit(self) -> None:
        batch = self._broker.take_batch()
        try:
            if not batch.is_empty:
                await self._journal.commit(batch)
        except JournalError as error:
            if not self.failing:
                _log.error("the journal fails; new background jobs are refused", reason=str(error))
            self.failing = str(error)
            self._broker.refused(self.failing)
        else:
            if self.failing and not batch.is_empty:
                _log.info("the journal works again")
                self.failing = ""
            self._broker.committed()
        self._flush()
