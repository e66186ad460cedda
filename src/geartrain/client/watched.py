"""What can be waited for, as the engine and whoever waits know it."""

from __future__ import annotations

from typing import Any

from mypy_extensions import mypyc_attr

from ..errors import GeartrainError


@mypyc_attr(allow_interpreted_subclasses=True)
class Watched:
    """Something that changes, and those who want to be told."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[Any] | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Owed(Watched):
    """What a server was asked for: it ends with an answer or with a failure.

    Args:
        answer: the type of the packet that answers it, in the order in which it was asked.
    """

    __slots__ = ("_answer", "_is_observed", "done", "failure")

    def __init__(self, answer: int) -> None:
        super().__init__()
        self._answer = answer
        self.done = False
        # Whether those who wait for it want to know of more than its end: that it was sent, its progress.
        self._is_observed = False
        self.failure: GeartrainError | None = None
