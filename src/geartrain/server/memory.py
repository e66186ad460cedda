"""The memory of a server's process: what the cyclic collector costs, and what is given back after a burst."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

COLLECT_EVERY: Final = 60.0
"""Seconds between two looks for garbage in cycles."""
COLLECT_BELOW: Final = 20_000
"""Jobs from which on it is not looked for: with more of them it would take too long."""
TRIM_ABOVE: Final = 32 * 1024 * 1024
"""Bytes of jobs from which on their end is followed by giving memory back to the system."""

# The C library's parameters by the numbers that `mallopt` knows them under, and bytes. By itself it maps each
# large block, unmaps it when it is freed, and shrinks the heap whenever its end is free: with workloads of
# megabytes the server would spend half its time on pages that it has just given back.
_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_ALLOCATOR: Final = {
    _M_MMAP_THRESHOLD: 1 << 30,
    _M_TRIM_THRESHOLD: 128 * 1024 * 1024,
    _M_TOP_PAD: 4 * 1024 * 1024,
}


class Memory:
    """Keeps the memory of one process that does nothing but serve.

    Python counts references; its collector looks for cycles besides, and to do so it would walk through
    millions of queued jobs again and again, which costs more than the jobs themselves. The server leaves no
    cycles behind, so it does without, but for a look now and then for what others leave.
    """

    def __init__(self) -> None:
        gc.disable()
        self._collected_at = 0.0
        self._most_bytes = 0
        library = ctypes.CDLL(None)
        self._trim = getattr(library, "malloc_trim", None)
        if self._trim is not None:  # the GNU library's, so `mallopt` is there too
            for parameter, value in _ALLOCATOR.items():
                library.mallopt(parameter, value)

    def begin(self, now: float) -> None:
        """The server has started: what is there now stays, and is never looked through again."""
        gc.collect()
        gc.freeze()
        self._collected_at = now

    def look(self, now: float, jobs: int, bytes: int) -> None:
        """Called several times a second, with the number of jobs and of their bytes."""
        if now - self._collected_at > COLLECT_EVERY and jobs < COLLECT_BELOW:
            self._collected_at = now
            gc.collect()
        if bytes > self._most_bytes:
            self._most_bytes = bytes
        elif self._most_bytes > TRIM_ABOVE and bytes < self._most_bytes // 4:
            # The C library keeps what was freed amid what is in use; small objects Python gives back itself.
            self._most_bytes = bytes
            if self._trim is not None:
                self._trim(0)
