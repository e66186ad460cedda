"""A typed function's arguments, from the caller's to the worker's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geartrain import ArgumentError, Job, ResultError
from geartrain.codecs import JSON, YAML, Bytes, Codec, MessagePack
from geartrain.signature import Signature, declare, is_raw, signature_of

CODECS = [JSON(), MessagePack(), YAML()]


@dataclass
class Rectangle:
    width: float
    height: float


def add(a: int, b: int = 10) -> int:
    return a + b


def area(shape: Rectangle, *, scale: float) -> float:
    return shape.width * shape.height * scale


def total(first: int, /, *rest: int) -> int:
    return first + sum(rest)


def watched(job: Job, path: str, at: datetime | None = None) -> str:
    return path


def called(function: Any, codec: Codec, *args: Any, **keywords: Any) -> Any:
    """The function's result after its arguments were to bytes and back."""
    signature = Signature(function, codec=codec)
    there, named = signature.arguments(signature.workload(args, keywords))
    return function(*there, **named)


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_a_function_is_called_as_its_caller_called_it(codec: Codec) -> None:
    assert called(add, codec, 2, 3) == 5
    assert called(add, codec, 2) == 12
    assert called(add, codec, b=1, a=2) == 3
    assert called(area, codec, Rectangle(2, 3), scale=2.0) == 12
    assert called(total, codec, 1) == 1
    assert called(total, codec, 1, 2, 3) == 6


def test_the_workload_is_a_plain_array_or_object() -> None:
    assert Signature(add).workload((2, 3), {}) == b"[2,3]"
    assert Signature(add).workload((2,), {"b": 3}) == b"[2,3]"
    assert Signature(area).workload((Rectangle(2, 3),), {"scale": 1}) == (
        b'{"shape":{"width":2,"height":3},"scale":1}'
    )
    assert Signature(add).arguments(b'{"b": 3, "a": 2}') == ([2, 3], {})
    assert Signature(lambda: 1, "one").arguments(b"") == ([], {})


def test_a_wrong_call_is_a_type_error_at_the_caller() -> None:
    with pytest.raises(TypeError, match="add: missing a required argument: 'a'"):
        Signature(add).workload((), {})
    with pytest.raises(TypeError, match="add: got an unexpected keyword argument 'c'"):
        Signature(add).workload((1,), {"c": 2})
    with pytest.raises(TypeError, match="add: too many positional arguments"):
        Signature(add).workload((1, 2, 3), {})
    with pytest.raises(TypeError, match=r"add: .*object"):
        Signature(add).workload((object(), 3), {})


@pytest.mark.parametrize(
    ("function", "workload", "argument", "text"),
    [
        (add, b'[1, "two"]', "b", "add: argument 'b': Expected `int`, got `str`"),
        (add, b'{"a": "one"}', "a", "add: argument 'a': Expected `int`, got `str`"),
        (add, b"[]", "a", "add: argument 'a': is missing"),
        (add, b'{"b": 1}', "a", "add: argument 'a': is missing"),
        (add, b'{"a": 1, "c": 1}', "c", "add: argument 'c': is unknown"),
        (add, b"[1, 2, 3]", "", "add: takes 2 arguments, got 3"),
        (area, b'[{"width": 1, "height": 2}]', "scale", "area: argument 'scale': is missing"),
        (area, b'{"shape": {"width": 1}, "scale": 1}', "shape", "Object missing required field `height`"),
        (total, b'[1, 2, "x"]', "rest", "total: argument 'rest': Expected `int`, got `str`"),
        (total, b'{"first": 1, "rest": [2]}', "rest", "total: argument 'rest': is unknown"),
        (add, b"5", "", "add: the workload holds no arguments in JSON: Expected `object | array`, got `int`"),
        (add, b"", "a", "is missing"),
        (add, b"[1", "", "add: the workload holds no arguments in JSON"),
        (add, b"[" * 100_000, "", "add: the workload holds no arguments in JSON"),
    ],
)
def test_wrong_arguments_are_named(function: Any, workload: bytes, argument: str, text: str) -> None:
    with pytest.raises(ArgumentError) as error:
        Signature(function).arguments(workload)
    assert error.value.argument == argument
    assert text in str(error.value)


def test_annotations_may_hold_constraints() -> None:
    def take(n: Annotated[int, msgspec.Meta(ge=1)]) -> None: ...

    assert Signature(take).arguments(b"[1]") == ([1], {})
    with pytest.raises(ArgumentError, match="argument 'n': Expected `int` >= 1"):
        Signature(take).arguments(b"[0]")


def test_a_result_that_is_not_what_was_declared_says_so() -> None:
    assert Signature(add).result(b"5") == 5
    with pytest.raises(ResultError, match="add: the result: Expected `int`, got `str`") as error:
        Signature(add).result(b'"five"')
    assert error.value.data == b'"five"'


def test_the_job_is_the_first_parameter_and_no_argument() -> None:
    signature = Signature(watched)
    assert signature.takes_job
    assert signature.workload(("x",), {}) == b'["x"]'
    assert signature.arguments(b'["x"]') == (["x"], {})


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_a_context_travels_around_the_arguments(codec: Codec) -> None:
    context = {"traceparent": "00-1-2-01"}
    for function, args, keywords in ((add, (2, 3), {}), (area, (Rectangle(1, 2),), {"scale": 3.0})):
        signature = Signature(function, codec=codec)
        workload = signature.workload(args, keywords, context)
        assert signature.context(workload) == context
        assert signature.arguments(workload) == signature.arguments(signature.workload(args, keywords))
        assert signature.context(signature.workload(args, keywords)) == {}
    assert Signature(add).context(b'"geartrain.context"') == {}


def test_raw_is_what_takes_a_job_alone() -> None:
    assert is_raw(lambda job: None)
    assert is_raw(lambda job, factor=2: None)
    assert is_raw(lambda *args, **keywords: None)
    assert is_raw(partial(lambda job, factor: None, factor=2))
    assert is_raw(Mock())
    assert is_raw(int)

    def annotated(job: Job) -> bytes: ...  # type: ignore[empty-body]
    def one(a: int) -> int: ...  # type: ignore[empty-body]
    def two(a, b): ...  # type: ignore[no-untyped-def]
    def none() -> int: ...  # type: ignore[empty-body]

    assert is_raw(annotated)
    assert not is_raw(one)
    assert not is_raw(two)
    assert not is_raw(none)
    assert not is_raw(watched)


def test_what_can_not_be_typed_says_why_where_it_is_declared() -> None:
    def keywords(**all: int) -> None: ...
    def both(*all: int, last: int) -> None: ...
    def unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def two(a: bytes, b: bytes) -> bytes: ...  # type: ignore[empty-body]

    with pytest.raises(TypeError, match=r"keywords: .* no \*\*keywords"):
        Signature(keywords)
    with pytest.raises(TypeError, match=r"both: .* either \*arguments or"):
        Signature(both)
    with pytest.raises(TypeError, match=r"unknown: .*Nowhere"):
        Signature(unknown)
    with pytest.raises(TypeError, match="two: with the bytes codec a function has one parameter"):
        Signature(two, codec=Bytes())
    with pytest.raises(TypeError, match="lambda_int: its parameter 'n': the bytes codec"):
        Signature(lambda_int, codec=Bytes())


@pytest.mark.parametrize("codec", CODECS, ids=repr)
@settings(max_examples=40, deadline=None)
@given(
    workload=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["a", "b", "geartrain.arguments"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=3),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_comes_is_either_arguments_or_a_named_error(codec: Codec, workload: bytes) -> None:
    signature = Signature(add, codec=codec)
    signature.context(workload)
    try:
        args, keywords = signature.arguments(workload)
    except ArgumentError:
        return
    assert isinstance(add(*args, **keywords), int)


class Adder:
    """What else can be called."""

    __slots__ = ("start",)

    def __init__(self, start: int) -> None:
        self.start = start

    def __call__(self, n: int) -> int:
        return self.start + n

    def more(self, n: int, *, times: int = 1) -> int:
        return self.start + n * times


def test_methods_partials_and_objects_are_typed_like_functions() -> None:
    for function, expected in ((Adder(5), 8), (Adder(5).more, 8), (partial(add, b=4), 7)):
        signature = Signature(function, "adder")
        declare(function, signature)
        assert not is_raw(function)
        args, keywords = signature.arguments(b"[3]")
        assert function(*args, **keywords) == expected
        with pytest.raises(ArgumentError, match="Expected `int`, got `str`"):
            signature.arguments(b'["3"]')
    assert signature_of(Adder(1).more).name == "adder"


def test_a_generator_is_refused() -> None:
    def numbers(count: int) -> Iterator[int]:
        yield count

    with pytest.raises(TypeError, match="numbers: a typed function returns its result"):
        Signature(numbers)


def lambda_int(n: int) -> bytes:
    return bytes(n)


def test_a_declaration_is_found_on_the_function() -> None:
    def twice(n: int) -> int:
        return 2 * n

    assert signature_of(twice).name == "twice"
    declare(twice, Signature(twice, "math.twice", MessagePack()))
    assert signature_of(twice).name == "math.twice"
    assert signature_of(twice, codec=JSON()).name == "math.twice"
    assert signature_of(twice, "other").codec.name == "MessagePack"
