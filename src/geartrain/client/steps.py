"""What a method that has to wait yields on its way, whoever runs it: see `methods.py`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from .watched import Watched

T = TypeVar("T")


class Wait:
    """Go on when that has changed, or at the deadline, or for no reason at all: look again.

    Of a task that no future observes, and of a question, nobody is told more than the end.

    Args:
        sending: whether what is waited for is only that something is sent.
    """

    __slots__ = ("deadline", "sending", "watched")

    def __init__(self, watched: Watched, deadline: float | None = None, sending: bool = False) -> None:
        self.watched = watched
        self.deadline = deadline
        self.sending = sending


class Invoke:
    """Call a function of the user's, where it may use the client in its turn."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments


Steps = Generator[Wait | Invoke, None, T]
"""What a method written once returns: it yields what it waits for and returns a `T`."""
