"""Noticing that the code has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

SETTLE: Final = 50
"""Milliseconds without a further change after which one counts: editors write in several steps."""


class Watcher:
    """Tells `changed`, on a thread of its own, which Python files were changed below the `folders`.

    Raises:
        ModuleNotFoundError: watchfiles is not installed (`pip install geartrain[reload]`).
    """

    def __init__(self, folders: Sequence[Path], changed: Callable[[list[str]], None]) -> None:
        from watchfiles import PythonFilter, watch

        self._ended = threading.Event()
        found = watch(
            *folders,
            watch_filter=PythonFilter(),
            step=SETTLE,
            stop_event=self._ended,
            raise_interrupt=False,
        )

        def follow() -> None:
            for changes in found:
                changed(sorted({path for _, path in changes}))

        self._thread = threading.Thread(target=follow, name="geartrain watches code", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()
