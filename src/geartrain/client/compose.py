"""Several functions as one: one after the other, side by side, and what becomes of it if a part fails.

    page = chain(fetch.call(url), words.call, count.call)               # count(words(fetch(url)))
    total = group(*(size.call(url) for url in urls), reduce=add_up.call)
    index = chain(links.call(site), each(fetch.call), make_index.call)  # fan out, fan in

    client.perform(page)

A step makes the next composition out of the result before: a function's `call`, or one of your own.

All of it is made of tasks with callbacks: the job server knows nothing but jobs, and what comes next is
decided here, by the program that performs it. If that program ends, what was not submitted yet is not done.

What becomes of failures:

- A chain ends with the first step that fails: the later ones are not submitted, and the failure is raised,
  with a note that names the step.
- The parts of a group all run to their end, since a job that was sent can't be taken back. If one or more
  failed the results are not reduced, and `GroupError` is raised, which has the failures and the results. With
  `skip_failures=True` the failed parts are left out instead, and the rest is reduced.
- A call that can't even be submitted, or whose result can't be decoded, has failed like one whose job did.
- `options(retry_count=2)` on a function has its jobs tried again before they count as failed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from ..errors import GroupError, NoServersError, WaitTimeoutError
from .progress import Bar
from .steps import Steps
from .task import Task
from .taskset import BaseTaskSet

if TYPE_CHECKING:
    from .base import BaseClient
    from .typed import BaseTyped

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Done = Callable[[Any, BaseException | None], None]
"""Told once what a composition gave, or how it failed."""


class Composition(ABC, Generic[R_co]):
    """Something that `Client.perform` can do and that gives an `R`: a call, a chain, or a group."""

    @abstractmethod
    def _start(self, add: Callable[[Task], Task], done: Done) -> None:
        """Add the tasks that can be done now; their callbacks add the next ones."""


Next = Callable[[A], Composition[B]]
"""A step: makes what comes next out of the result before."""


class Call(Composition[R_co]):
    """One call of a function, with its arguments: what `add.call(2, 3)` gives."""

    def __init__(self, function: BaseTyped[Any, ..., R_co], make: Callable[[], Task]) -> None:
        self._function = function
        self._make = make

    def __repr__(self) -> str:
        return f"<Call {self._function.name}>"

    def _start(self, add: Callable[[Task], Task], done: Done) -> None:
        def complete(task: Task, result: bytes) -> None:
            try:
                value = self._function.decode(result)
            except Exception as error:
                # Also what a codec or a class of the caller's raises: it is this part's failure.
                done(None, error)
            else:
                done(value, None)

        try:
            task = self._make()
        except Exception as error:
            # What the step before gave does not fit, or can't be sent.
            done(None, error)
            return
        task.on_complete(complete)
        task.on_fail(lambda task, failure: done(None, failure))
        add(task)


class Chain(Composition[R_co]):
    """Steps one after the other, each with the result of the one before; see `chain`."""

    def __init__(self, first: Composition[Any], *then: Next[Any, Any]) -> None:
        self._first = first
        self._then = then

    def _start(self, add: Callable[[Task], Task], done: Done) -> None:
        def go_on(step: int, value: Any, error: BaseException | None) -> None:
            if error is not None:
                if len(self._then):
                    error.add_note(f"in step {step + 1} of a chain of {len(self._then) + 1}")
                done(None, error)
            elif step == len(self._then):
                done(value, None)
            else:
                _Later(self._then[step], value)._start(add, lambda v, e: go_on(step + 1, v, e))

        self._first._start(add, lambda value, error: go_on(0, value, error))


class Parts(Composition[list[R_co]]):
    """Several side by side; see `group`."""

    def __init__(self, parts: Iterable[Composition[R_co]], skip_failures: bool) -> None:
        self._parts = list(parts)
        self._skip_failures = skip_failures

    def _start(self, add: Callable[[Task], Task], done: Done) -> None:
        results: list[Any] = [None] * len(self._parts)
        failures: dict[int, BaseException] = {}
        left = len(self._parts)

        def part_done(index: int, value: Any, error: BaseException | None) -> None:
            nonlocal left
            left -= 1
            if error is None:
                results[index] = value
            else:
                failures[index] = error
            if not left:
                self._end(results, failures, done)

        if not left:
            done([], None)
        for index, part in enumerate(self._parts):
            part._start(add, partial(part_done, index))

    def _end(self, results: list[Any], failures: dict[int, BaseException], done: Done) -> None:
        unreachable = next((e for e in failures.values() if isinstance(e, NoServersError)), None)
        if unreachable is not None:
            done(None, unreachable)
        elif failures and not self._skip_failures:
            done(None, GroupError(failures, results))
        else:
            done([result for index, result in enumerate(results) if index not in failures], None)


@overload
def chain(first: Composition[A], /) -> Composition[A]: ...
@overload
def chain(first: Composition[A], second: Next[A, B], /) -> Composition[B]: ...
@overload
def chain(first: Composition[A], second: Next[A, B], third: Next[B, C], /) -> Composition[C]: ...
@overload
def chain(
    first: Composition[A], second: Next[A, B], third: Next[B, C], fourth: Next[C, D], /
) -> Composition[D]: ...
@overload
def chain(
    first: Composition[Any],
    second: Next[Any, Any],
    third: Next[Any, Any],
    fourth: Next[Any, Any],
    fifth: Next[Any, Any],
    /,
    *then: Next[Any, Any],
) -> Composition[Any]: ...
def chain(first: Composition[Any], /, *then: Next[Any, Any]) -> Composition[Any]:
    """Steps one after the other: `chain(fetch.call(url), words.call, count.call)`.

    Args:
        first: a call, or another composition.
        then: the steps after it, each called with the result of the one before. It runs here, so it should
            be quick, and returns a call or another composition, which is done then.

    The first step that fails ends it, and its failure is raised.
    """
    return Chain(first, *then)


@overload
def group(*parts: Composition[A], skip_failures: bool = False) -> Composition[list[A]]: ...
@overload
def group(
    *parts: Composition[A], reduce: Next[list[A], B], skip_failures: bool = False
) -> Composition[B]: ...
def group(
    *parts: Composition[Any], reduce: Next[Any, Any] | None = None, skip_failures: bool = False
) -> Composition[Any]:
    """Several side by side; gives the list of their results, in the order of the parts, whenever they came.

    Args:
        parts: calls, or other compositions.
        reduce: a step that is called with the list and makes one result of it, such as a function's `call`.
        skip_failures: leave the parts that failed out of the list. Else one failure is enough for
            `GroupError`, which is raised when all parts have ended, and nothing is reduced.
    """
    whole = Parts(parts, skip_failures)
    return whole if reduce is None else Chain(whole, reduce)


def each(function: Next[A, B], *, skip_failures: bool = False) -> Next[Iterable[A], list[B]]:
    """A step that does another one for each item of the result before, side by side: `each(fetch.call)`.

    Gives the list of the results. All items are submitted at once; to go through more than memory holds use
    `map`. Failures are those of a `group`.
    """

    def start(items: Iterable[A]) -> Composition[list[B]]:
        return Parts([_Later(function, item) for item in items], skip_failures)

    return start


class _Later(Composition[R_co]):
    """A step and the value that it is given."""

    def __init__(self, step: Next[Any, R_co], value: Any) -> None:
        self._step = step
        self._value = value

    def _start(self, add: Callable[[Task], Task], done: Done) -> None:
        try:
            composition = self._step(self._value)
            if not isinstance(composition, Composition):
                raise TypeError(f"a step gives a call, a chain or a group, not {composition!r}")
        except Exception as error:
            done(None, error)
            return
        composition._start(add, done)


def perform(
    client: BaseClient[Any], composition: Composition[R], timeout: float | None, progress: bool
) -> Steps[R]:
    """Do a composition, in steps of either shell."""
    tasks: BaseTaskSet[Any] = BaseTaskSet(client)
    ended: list[tuple[Any, BaseException | None]] = []
    composition._start(tasks.add, lambda value, error: ended.append((value, error)))
    deadline = client._deadline(timeout)
    bar = Bar(transient=False) if progress else None
    try:
        if not (yield from tasks._ended(deadline, bar, asks_why=True)):
            raise _timed_out(client, [task for task in tasks.tasks if not task.done])
    finally:
        for task in tasks.tasks:
            if not task.done:
                client._engine.abandon(task, client._now())
        if bar is not None:
            bar.clear()
    (value, error), *_ = ended
    if error is not None:
        raise error
    return cast(R, value)


def _timed_out(client: BaseClient[Any], late: list[Task]) -> WaitTimeoutError:
    """The error for tasks that are not done: it tells of a function without a worker, if there is one."""
    message = "not done in time; what was submitted may go on"
    functions = {task.function: task for task in late}
    errors = [client._engine.timed_out(message, task, client._now()) for task in functions.values()]
    telling = [error for error in errors if error.workers is not None]
    without = [error for error in telling if not error.workers]
    return next(iter(without or telling or errors), WaitTimeoutError(message))
