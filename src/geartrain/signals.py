"""Where a thread goes to sleep, so that a signal that has come just before is not slept through.

Python calls signals' handlers as it enters a function of its own. A function in C looks for them when it is
interrupted, not before it blocks, and compiled code does not look at all: what came while that ran would wait
for whatever the thread sleeps for. So compiled code blocks in here. This file is not compiled, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def interruptibly(function: Callable[..., T], *arguments: object) -> T:
    """Call a function that may block."""
    return function(*arguments)
