"""Methods that are written once and work in both shells.

A method that has to wait is a generator of steps, see `steps.py`: it yields what it needs, and the shell that
runs it sees to that, the blocking one with its sockets, the asyncio one in its loop. `@call` makes such a
generator a method that blocks in a `Blocking` class and a coroutine in an `Awaited` one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import (
    Any,
    Concatenate,
    ForwardRef,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    get_args,
    overload,
)

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


class Blocking:
    """A class whose calls block."""

    __slots__ = ()
    _shell: BlockingShell


class Awaited:
    """A class whose calls are awaited."""

    __slots__ = ()
    _shell: AwaitedShell


class BlockingShell(Protocol):
    """Runs steps to their end."""

    def run_steps(self, steps: Generator[Any, Any, T]) -> T:
        """Run them and return what they return."""


class AwaitedShell(Protocol):
    """Runs steps to their end in an event loop."""

    async def run_steps(self, steps: Generator[Any, Any, T]) -> T:
        """Run them and return what they return."""


class call(Generic[S, P, T]):  # noqa: N801 - a decorator
    """Make a generator of steps a method of blocking and awaited classes alike."""

    def __init__(self, steps: Callable[Concatenate[S, P], Generator[Any, Any, T]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> call[S, P, T]: ...
    @overload
    def __get__(self, instance: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Awaited, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: object, owner: type) -> object:
        # Only type checkers come here: `plain_methods` has put functions in the place of all calls.
        raise AttributeError(f"{owner.__name__} has calls, and @plain_methods is missing")

    def method(self, owner: type) -> Callable[..., object]:
        """The method as the owner has it, with the signature and the documentation of the steps."""
        steps: Callable[..., Generator[Any, Any, T]] = self._steps
        if issubclass(owner, Blocking):

            @functools.wraps(steps)
            def method(self: Any, *args: Any, **keywords: Any) -> object:
                return self._shell.run_steps(steps(self, *args, **keywords))
        else:

            @functools.wraps(steps)
            async def method(self: Any, *args: Any, **keywords: Any) -> object:
                return await self._shell.run_steps(steps(self, *args, **keywords))

        method.__qualname__ = f"{owner.__name__}.{self._name}"
        method.__module__ = owner.__module__
        # What the steps return in the end is what the method returns; `F` stands for what the owner says.
        returns = _inner(steps.__annotations__["return"])
        if returns == "F":
            returns = next(
                argument.__forward_arg__
                for base in getattr(owner, "__orig_bases__", ())
                for argument in get_args(base)
                if isinstance(argument, ForwardRef)
            )
        method.__annotations__ = {**steps.__annotations__, "return": returns}
        signature = inspect.signature(steps).replace(return_annotation=returns)
        method.__signature__ = signature  # type: ignore[attr-defined]
        return method


def _inner(annotation: str) -> str:
    """What stands in the outer brackets."""
    return annotation[annotation.index("[") + 1 : annotation.rindex("]")]


C = TypeVar("C", bound=type)


def plain_methods(owner: C) -> C:
    """Give a class of one of the two kinds a plain method for each call that it inherits."""
    for base in reversed(owner.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, call):
                setattr(owner, name, value.method(owner))
    return owner
