"""A progress bar on standard error that makes way for what is written to the same terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

REDRAW_AFTER: Final = 0.1
"""Seconds between two drawings."""


class Bar:
    """One bar, drawn at most every `REDRAW_AFTER` seconds.

    Args:
        shown: whether to draw it; None: if standard error is a terminal.
    """

    def __init__(self, shown: bool | None = None) -> None:
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._progress: Progress | None = None
        self._up = False
        self._drawn_at = 0.0

    def draw(self, text: str, done: int, total: int) -> None:
        """Show that `done` of `total` is done."""
        now = time.monotonic()
        if not self._shown or now - self._drawn_at < REDRAW_AFTER:
            return
        self._drawn_at = now
        if self._progress is None:
            self._progress = _new_progress()
            self._progress.add_task(text)
        if not self._up:
            self._progress.start()
            self._up = True
        self._progress.update(self._progress.task_ids[0], completed=done, total=total or None, refresh=True)

    def clear(self) -> None:
        """Take it off the terminal; the next drawing brings it back."""
        if self._progress is not None and self._up:
            self._progress.stop()
            self._up = False


def _new_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
