"""Signatures of typed functions, shared by caller and worker: name, parameters, codec.

    @worker.function                       add = client.function(add)
    def add(a: int, b: int) -> int:        add(2, 3)
        return a + b

A function that takes one argument, the job, and annotates nothing else is *raw*: it receives the `Job` with
its workload in bytes (see `is_raw`). Every other function is typed. If the first parameter of a typed
function is annotated `Job`, it receives the job, and the caller leaves it out.

On the wire the workload is an array of the arguments, `[2, 3]`, or an object of them by name,
`{"a": 2, "b": 3}`; the worker takes both. The result is the value, `5`. A call with a context, such as a
trace's, wraps its arguments:
`{"geartrain.arguments": [2, 3], "geartrain.context": {"traceparent": "00-…"}}`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from inspect import Parameter
from typing import Any, ClassVar, Final, Protocol, get_args, get_origin, get_type_hints

from .codecs import JSON, Arguments, Codec
from .errors import ArgumentError, ResultError

ARGUMENTS: Final = "geartrain.arguments"
CONTEXT: Final = "geartrain.context"

DEFAULT_CODEC: Final = JSON()

_DECLARED: Final = "__geartrain__"
_EMPTY: Final = Parameter.empty
_ANY_NUMBER: Final = Parameter.VAR_POSITIONAL
_BY_POSITION: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)

_Decoder = Callable[[Any], Any]


class JobParameter(Protocol):
    """Marker of the worker's `Job` class, which callers need not import."""

    stands_for_the_job: ClassVar[bool]


class Signature:
    """The wire format of one typed function.

    Args:
        function: source of the parameters and annotations; its body is not run.
        name: the function's Gearman name, by default its `__name__`.
        codec: JSON by default.

    Raises:
        TypeError: the function can't be typed; the message says why.
    """

    def __init__(self, function: Callable[..., Any], name: str = "", codec: Codec | None = None) -> None:
        self.name = name or getattr(function, "__name__", "")
        self.codec = codec or DEFAULT_CODEC
        try:
            signature = inspect.signature(function)
            hints = _hints(function)
        except (NameError, ValueError, TypeError) as error:
            raise TypeError(f"{self.name}: its parameters can't be read: {error}") from error
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{self.name}: a typed function returns its result; send parts with `job.data`")
        parameters = list(signature.parameters.values())
        self.takes_job = bool(parameters) and is_job(parameters[0].annotation)
        if self.takes_job:
            del parameters[0]
        self._signature = signature.replace(parameters=parameters)
        kinds = {parameter.kind for parameter in parameters}
        if Parameter.VAR_KEYWORD in kinds:
            raise TypeError(f"{self.name}: a typed function names its parameters, so it has no **keywords")
        if {_ANY_NUMBER, Parameter.KEYWORD_ONLY} <= kinds:
            raise TypeError(f"{self.name}: a typed function has either *arguments or parameters after the *")
        if self.codec.single and len(parameters) != 1:
            raise TypeError(f"{self.name}: with the {self.codec.name} codec a function has one parameter")
        self._parameters = parameters
        self._names = {parameter.name for parameter in parameters if parameter.kind is not _ANY_NUMBER}
        self._positional = [parameter for parameter in parameters if parameter.kind in _BY_POSITION]
        self._required = sum(parameter.default is _EMPTY for parameter in self._positional)
        self._any_number = _ANY_NUMBER in kinds
        self._keywords = Parameter.KEYWORD_ONLY in kinds
        self._decoders = {
            parameter.name: self._decoder(parameter.name, hints.get(parameter.name, Any))
            for parameter in parameters
        }
        try:
            self._decode_result = self.codec.decoder(_awaited(hints.get("return", Any)))
        except TypeError as error:
            raise TypeError(f"{self.name}: its result: {error}") from None

    def _decoder(self, name: str, type: Any) -> _Decoder:
        try:
            return self.codec.part_decoder(type)
        except TypeError as error:
            raise TypeError(f"{self.name}: its parameter {name!r}: {error}") from None

    def __repr__(self) -> str:
        return f"<Signature {self.name}{self._signature} in {self.codec.name}>"

    # The caller's side

    def workload(
        self, args: tuple[Any, ...], keywords: dict[str, Any], context: Mapping[str, str] | None = None
    ) -> bytes:
        """Return the workload of a call, its arguments wrapped in the context if there is one.

        Raises:
            TypeError: the arguments do not fit the parameters, or the codec can't hold one of them.
        """
        arguments: Arguments = args
        if keywords or self._keywords or not self._required <= len(args) <= len(self._positional):
            try:
                bound = self._signature.bind(*args, **keywords)
            except TypeError as error:
                raise TypeError(f"{self.name}: {error}") from None
            arguments = bound.arguments if bound.kwargs else bound.args
        try:
            if context and not self.codec.single:
                return self.codec.encode({ARGUMENTS: arguments, CONTEXT: context})
            return self.codec.encode_arguments(arguments)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None

    def result(self, data: bytes) -> Any:
        """Return the value in a job's result.

        Raises:
            ResultError: the result does not match the signature.
        """
        try:
            return self._decode_result(data)
        except (ValueError, RecursionError) as error:
            raise ResultError(self.name, str(error), data) from None

    # The worker's side

    def arguments(self, workload: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a workload, by position and by name.

        Raises:
            ArgumentError: an argument is missing, of another type, or superfluous; the error names it.
        """
        try:
            parts = self.codec.split(workload)
            if isinstance(parts, Mapping) and ARGUMENTS in parts:
                parts = self.codec.split_part(parts[ARGUMENTS])
        except (ValueError, RecursionError) as error:
            text = f"the workload holds no arguments in {self.codec.name}: {error}"
            raise ArgumentError(self.name, "", text) from None
        if isinstance(parts, Mapping):
            return self._by_name(parts)
        positional = self._positional
        if len(parts) < self._required:
            raise ArgumentError(self.name, positional[len(parts)].name, "is missing")
        if len(parts) > len(positional) and not self._any_number:
            raise ArgumentError(self.name, "", f"takes {len(positional)} arguments, got {len(parts)}")
        args = [self._decode(p.name, part) for p, part in zip(positional, parts, strict=False)]
        if self._any_number and len(parts) > len(positional):
            rest = self._parameters[len(positional)].name
            args += [self._decode(rest, part) for part in parts[len(positional) :]]
        if self._keywords:
            for parameter in self._parameters[len(positional) :]:
                if parameter.default is _EMPTY:
                    raise ArgumentError(self.name, parameter.name, "is missing")
        return args, {}

    def named(self, workload: bytes) -> dict[str, Any]:
        """Return the given arguments of a workload by parameter name.

        Raises:
            ArgumentError: they do not match the function's parameters.
        """
        args, keywords = self.arguments(workload)
        return dict(self._signature.bind(*args, **keywords).arguments)

    def context(self, workload: bytes) -> dict[str, str]:
        """Return the context of a workload; empty if there is none or it is malformed."""
        if CONTEXT.encode() not in workload:
            return {}
        try:
            parts = self.codec.split(workload)
            if isinstance(parts, Mapping) and CONTEXT in parts and ARGUMENTS in parts:
                found: dict[str, str] = self.codec.part_decoder(dict[str, str])(parts[CONTEXT])
                return found
        except (ValueError, RecursionError):
            pass
        return {}

    def _by_name(self, parts: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        for name in parts:
            if name not in self._names:
                raise ArgumentError(self.name, name, "is unknown")
        args: list[Any] = []
        keywords: dict[str, Any] = {}
        for parameter in self._parameters:
            name = parameter.name
            if name in parts:
                value = self._decode(name, parts[name])
            elif parameter.default is not _EMPTY:
                value = parameter.default
            elif parameter.kind is _ANY_NUMBER:
                continue
            else:
                raise ArgumentError(self.name, name, "is missing")
            if parameter.kind in _BY_POSITION:
                args.append(value)
            else:
                keywords[name] = value
        return args, keywords

    def _decode(self, name: str, part: Any) -> Any:
        try:
            return self._decoders[name](part)
        except (ValueError, RecursionError) as error:
            raise ArgumentError(self.name, name, str(error)) from None


def declare(function: Callable[..., Any], signature: Signature) -> None:
    """Attach a signature to its function, for callers that need its name and codec.

    Objects without a `__dict__` stay without one.
    """
    with contextlib.suppress(AttributeError):
        setattr(getattr(function, "__func__", function), _DECLARED, signature)


def declared(function: Callable[..., Any]) -> Signature | None:
    """Return the signature attached to a function, or None."""
    found: Signature | None = getattr(function, _DECLARED, None)
    return found


def signature_of(function: Callable[..., Any], name: str = "", codec: Codec | None = None) -> Signature:
    """Return the attached signature of a function, or a new one from its annotations.

    Raises:
        TypeError: the function can't be typed.
    """
    signature = declared(function)
    if signature is not None:
        if not name and codec is None:
            return signature
        name, codec = name or signature.name, codec or signature.codec
    return Signature(function, name, codec)


def is_raw(function: Callable[..., Any]) -> bool:
    """Return whether a worker's function is raw: it receives the job rather than decoded arguments.

    A raw function can be called with one argument, unannotated or annotated `Job`, and annotates no other.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        # Some C functions have no introspectable parameters.
        return True
    if not parameters:
        return False
    first, *others = parameters
    return (
        first.kind in (*_BY_POSITION, _ANY_NUMBER)
        and (first.annotation is _EMPTY or is_job(first.annotation))
        and all(
            other.annotation is _EMPTY
            and (other.default is not _EMPTY or other.kind in (_ANY_NUMBER, Parameter.VAR_KEYWORD))
            for other in others
        )
    )


def is_job(annotation: Any) -> bool:
    """Return whether an annotation means the worker's `Job`, by name where callers can't import it."""
    if isinstance(annotation, str):
        return annotation.strip("'\"").rpartition(".")[2] == "Job"
    return bool(getattr(annotation, "stands_for_the_job", False))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    # Of a function, a method, a partial or a callable object.
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = type(function).__call__
    return get_type_hints(function, include_extras=True)


def _awaited(returns: Any) -> Any:
    # An annotation may spell out `Coroutine[Any, Any, T]`.
    if get_origin(returns) is Coroutine:
        return get_args(returns)[2]
    return returns
