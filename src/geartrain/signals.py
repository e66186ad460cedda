"""Blocking calls of compiled code that do not sleep through a signal.

Python runs signal handlers when it enters an interpreted function. A function in C checks for signals when it
is interrupted, not before it blocks, and compiled code never checks. So compiled code blocks through this
module, which is not compiled on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def call_checking_signals(function: Callable[..., T], *arguments: object) -> T:
    """Call a function that may block, after the handlers of pending signals."""
    return function(*arguments)
