"""Looking for what is about to come, instead of going to sleep until it is there.

To be put to sleep and woken takes a processor as long as most servers take to answer, and costs more. So
where the last answer came at once, the next one is looked for, for a moment, before anybody sleeps. This is
compiled and hears no signal; whoever calls it goes on in code that does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Final

MOMENT: Final = 0.0001
"""Seconds for which it is looked for."""

Events = list[tuple[int, int]]
"""What a `select.poll` returns: descriptors and what happened to them."""


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# With a single one it would keep the other side from answering.
MAY_LOOK: Final = _processors() > 1 and hasattr(os, "sched_yield")


def look(poll: Callable[[int], Events]) -> Events:
    """What a poll finds within a moment, if anything. Whoever wants the processor has it meanwhile."""
    deadline = monotonic() + MOMENT
    while True:
        events = poll(0)
        if events or monotonic() >= deadline:
            return events
        os.sched_yield()
