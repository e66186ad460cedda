"""How a client makes functions of its own out of those that workers have."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast, overload

from .compose import Composition, perform
from .record import Workload
from .results import AsyncResults, Results
from .typed import (
    WINDOW,
    AsyncTypedFunction,
    BaseTyped,
    JustName,
    Known,
    OnProgress,
    Options,
    TypedFunction,
)

if TYPE_CHECKING:
    from ..codecs import Codec
    from ..signature import JobParameter
    from .asynchronous import AsyncClient
    from .blocking import Client

    J = TypeVar("J", bound=JobParameter)

P = ParamSpec("P")
R = TypeVar("R")


class Functions:
    """What `Client` has of typed functions."""

    @overload
    def function(self, function: str) -> TypedFunction[[Workload], bytes]: ...
    @overload
    def function(
        self, function: Callable[Concatenate[J, P], Coroutine[Any, Any, R]], *, name: str = "",
        codec: Codec | None = None,
    ) -> TypedFunction[P, R]: ...  # fmt: skip
    @overload
    def function(
        self, function: Callable[Concatenate[J, P], R], *, name: str = "", codec: Codec | None = None
    ) -> TypedFunction[P, R]: ...
    @overload
    def function(
        self, function: Callable[P, Coroutine[Any, Any, R]], *, name: str = "", codec: Codec | None = None
    ) -> TypedFunction[P, R]: ...
    @overload
    def function(
        self, function: Callable[P, R], *, name: str = "", codec: Codec | None = None
    ) -> TypedFunction[P, R]: ...
    def function(
        self, function: str | Callable[..., Any], *, name: str = "", codec: Codec | None = None
    ) -> TypedFunction[Any, Any]:
        """A function that workers do, to be called from here: `add = client.function(add)`, then `add(2, 3)`.

        Type checkers know it with the same parameters and result.

        Args:
            function: one that was declared with `@worker.function`, or any with the same annotations, whose
                body is never run; or just a name, for a function that takes a workload and gives bytes.
            name: the function's name for Gearman, if it is neither the declared one nor its own.
            codec: how arguments and result travel, if it is neither the declared one nor JSON.

        Raises:
            TypeError: the function's parameters or annotations are not of a kind that can travel.
        """
        return TypedFunction(cast("Client", self), *known(function, name, codec))

    @overload
    def map(
        self, function: str, /, *items: Iterable[Any], ordered: bool = True, window: int = WINDOW,
        on_progress: OnProgress | None = None, progress: bool = False,
    ) -> Results[bytes]: ...  # fmt: skip
    @overload
    def map(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *items: Iterable[Any], ordered: bool = True,
        window: int = WINDOW, on_progress: OnProgress | None = None, progress: bool = False,
    ) -> Results[R]: ...  # fmt: skip
    @overload
    def map(
        self, function: Callable[..., R], /, *items: Iterable[Any], ordered: bool = True,
        window: int = WINDOW, on_progress: OnProgress | None = None, progress: bool = False,
    ) -> Results[R]: ...  # fmt: skip
    def map(
        self, function: str | Callable[..., Any], /, *items: Iterable[Any], **options: Any
    ) -> Results[Any]:
        """Have a function done for each item, several at a time: `client.function(function).map(*items, …)`.

        See `TypedFunction.map`.
        """
        return self.function(function).map(*items, **options)

    def perform(
        self, composition: Composition[R], *, timeout: float | None = None, progress: bool = False
    ) -> R:
        """Do a composition of calls, made with `chain` and `group`, and return what it gives.

        Args:
            composition: `add.call(2, 3)`, or a chain or group of such calls.
            timeout: seconds that all of it may take; None leaves it to the client's `timeout`.
            progress: show a bar of the jobs so far on standard error, if that is a terminal.

        Raises:
            GroupError: parts of a group failed.
            WaitTimeoutError: `timeout` seconds have passed; what was submitted may go on, nothing else is.
            others: the failure of a job that ended a chain; see `Client.run`.
        """
        client = cast("Client", self)
        return client.run_steps(perform(client, composition, timeout, progress))


class AsyncFunctions:
    """What `AsyncClient` has of typed functions: as `Functions`, awaited."""

    @overload
    def function(self, function: str) -> AsyncTypedFunction[[Workload], bytes]: ...
    @overload
    def function(
        self, function: Callable[Concatenate[J, P], Coroutine[Any, Any, R]], *, name: str = "",
        codec: Codec | None = None,
    ) -> AsyncTypedFunction[P, R]: ...  # fmt: skip
    @overload
    def function(
        self, function: Callable[Concatenate[J, P], R], *, name: str = "", codec: Codec | None = None
    ) -> AsyncTypedFunction[P, R]: ...
    @overload
    def function(
        self, function: Callable[P, Coroutine[Any, Any, R]], *, name: str = "", codec: Codec | None = None
    ) -> AsyncTypedFunction[P, R]: ...
    @overload
    def function(
        self, function: Callable[P, R], *, name: str = "", codec: Codec | None = None
    ) -> AsyncTypedFunction[P, R]: ...
    def function(
        self, function: str | Callable[..., Any], *, name: str = "", codec: Codec | None = None
    ) -> AsyncTypedFunction[Any, Any]:
        """A function that workers do, to be called from here; see `Client.function`."""
        return AsyncTypedFunction(cast("AsyncClient", self), *known(function, name, codec))

    @overload
    def map(
        self, function: str, /, *items: Iterable[Any] | AsyncIterable[Any], ordered: bool = True,
        window: int = WINDOW, on_progress: OnProgress | None = None, progress: bool = False,
    ) -> AsyncResults[bytes]: ...  # fmt: skip
    @overload
    def map(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *items: Iterable[Any] | AsyncIterable[Any],
        ordered: bool = True, window: int = WINDOW, on_progress: OnProgress | None = None,
        progress: bool = False,
    ) -> AsyncResults[R]: ...  # fmt: skip
    @overload
    def map(
        self, function: Callable[..., R], /, *items: Iterable[Any] | AsyncIterable[Any], ordered: bool = True,
        window: int = WINDOW, on_progress: OnProgress | None = None, progress: bool = False,
    ) -> AsyncResults[R]: ...  # fmt: skip
    def map(
        self,
        function: str | Callable[..., Any],
        /,
        *items: Iterable[Any] | AsyncIterable[Any],
        **options: Any,
    ) -> AsyncResults[Any]:
        """Have a function done for each item, several at a time; see `AsyncTypedFunction.map`."""
        return self.function(function).map(*items, **options)

    async def perform(
        self,
        composition: Composition[R],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        progress: bool = False,
    ) -> R:
        """Do a composition of calls, made with `chain` and `group`; see `Client.perform`."""
        client = cast("AsyncClient", self)
        return await client.run_steps(perform(client, composition, timeout, progress))


def known(function: str | Callable[..., Any], name: str, codec: Codec | None) -> tuple[Known, Options]:
    """What is known of a function, and the options that it has already."""
    if not isinstance(function, str):
        if not name and codec is None:
            taken: object = function
            if isinstance(taken, BaseTyped):
                return taken._signature, taken._options
        from ..signature import signature_of

        return signature_of(function, name, codec), {}
    if name or codec is not None:
        raise TypeError(f"{function}: a name and a codec are for a function that says what it takes")
    return JustName(function), {}
