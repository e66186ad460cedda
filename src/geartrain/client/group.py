"""Tasks that are waited for together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .watched import Watched

if TYPE_CHECKING:
    from .task import Task


class Group(Watched):
    """What a task set and the engine share: how many tasks are left, and which callbacks are due."""

    __slots__ = ("calls", "ended", "remaining")

    def __init__(self) -> None:
        super().__init__()
        self.remaining = 0
        # The tasks that have ended, in this order, if somebody wants to know.
        self.ended: deque[Task] | None = None
        self.calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
