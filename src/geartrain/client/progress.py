"""A progress bar on standard error that makes way for what is written to the same terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

    from .task import Task

REDRAW_AFTER: Final = 0.1
"""Seconds between two drawings."""


class Bar:
    """One bar, drawn at most every `REDRAW_AFTER` seconds.

    Args:
        shown: whether to draw it; None: if standard error is a terminal or a notebook.
        transient: it leaves nothing behind.
    """

    def __init__(self, shown: bool | None = None, transient: bool = True) -> None:
        self._shown = _can_be_seen() if shown is None else shown
        self._transient = transient
        self._progress: Progress | None = None
        self._up = False
        self._drawn_at = 0.0

    def draw(self, text: str, done: float, total: float | None, last: bool = False) -> None:
        """Show that `done` of `total` is done; `last` draws it however short ago it was drawn."""
        now = time.monotonic()
        if not self._shown or (now - self._drawn_at < REDRAW_AFTER and not last):
            return
        self._drawn_at = now
        if self._progress is None:
            self._progress = _new_progress(self._transient)
            self._progress.add_task(text, total=None)
        self._progress.update(self._progress.task_ids[0], completed=done, total=total or None)
        if self._up or self._start():
            self._progress.refresh()

    def clear(self) -> None:
        """Take it off the terminal, or leave it as it is; the next drawing brings it back."""
        if self._progress is not None and self._up:
            self._progress.stop()
            self._up = False

    def _start(self) -> bool:
        from rich.errors import LiveError

        assert self._progress is not None
        try:
            self._progress.start()
        except LiveError:
            # Something else of rich is on the terminal already, and some versions show one thing at a time.
            self._shown = False
            return False
        self._up = True
        return True


def part_of(task: Task) -> float:
    """How much of a task is done, from 0 to 1: what its worker has told, or all of it when it has ended."""
    if task.done:
        return 1.0
    if task.denominator <= 0:
        return 0.0
    return min(max(task.numerator / task.denominator, 0.0), 1.0)


def _can_be_seen() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _new_progress(transient: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=transient,
        redirect_stdout=False,
        redirect_stderr=False,
    )
