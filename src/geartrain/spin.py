"""Spin polling: poll for a moment before going to sleep.

Sleeping and waking takes a processor as long as most servers take to answer, and costs more. So after an
immediate answer the next one is polled for first. This file is compiled and checks no signals; its callers
do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Final

SPIN_SECONDS: Final = 0.0001
"""Longest duration of a spin in seconds."""

Events = list[tuple[int, int]]
"""Result of `select.poll`: descriptors and their events."""


def _processors() -> int:
    # Those that this process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# On a single processor spinning would keep the other side from answering.
MAY_SPIN: Final = _processors() > 1 and hasattr(os, "sched_yield")


def spin_poll(poll: Callable[[int], Events]) -> Events:
    """Return the events of a poll within a moment, if any. The processor is yielded between two polls."""
    deadline = monotonic() + SPIN_SECONDS
    while True:
        events = poll(0)
        if events or monotonic() >= deadline:
            return events
        os.sched_yield()
