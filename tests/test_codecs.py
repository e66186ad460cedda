"""Each codec gives back what was put in, and refuses what it can't read."""

from __future__ import annotations

import enum
import uuid
import warnings
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geartrain.codecs import JSON, YAML, Bytes, Codec, MessagePack, UnsafePickle, UnsafePickleWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UnsafePickleWarning)
    PICKLE = UnsafePickle()

CODECS: list[Codec] = [JSON(), MessagePack(), YAML(), PICKLE]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: float


class Address(TypedDict):
    street: str
    number: int


@dataclass
class Person:
    name: str
    born: date | None
    tags: list[str] = field(default_factory=list)


class Order(msgspec.Struct):
    id: uuid.UUID
    at: datetime
    total: Decimal
    colour: Colour
    person: Person
    address: Address
    point: Point
    picture: bytes
    counts: dict[str, int]
    kinds: set[int]
    took: timedelta


# YAML has no surrogates and no control characters, JSON no surrogates.
text = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"], exclude_characters="\ufeff"), max_size=20
)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | integers | floats | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)
moments = st.datetimes(timezones=st.just(UTC))
orders = st.builds(
    Order,
    id=st.uuids(),
    at=moments,
    total=st.decimals(allow_nan=False, allow_infinity=False, places=2),
    colour=st.sampled_from(Colour),
    person=st.builds(Person, name=text, born=st.none() | st.dates(), tags=st.lists(text, max_size=3)),
    address=st.fixed_dictionaries({"street": text, "number": integers}),
    point=st.builds(Point, integers, floats),
    picture=st.binary(max_size=50),
    counts=st.dictionaries(text, integers, max_size=3),
    kinds=st.sets(integers, max_size=3),
    took=st.timedeltas(timedelta(-1000), timedelta(1000)),
)


@pytest.mark.parametrize("codec", CODECS, ids=repr)
@settings(max_examples=40, deadline=None)
@given(value=plain)
def test_plain_data_comes_back_as_it_was(codec: Codec, value: Any) -> None:
    assert codec.decoder(Any)(codec.encode(value)) == value


@pytest.mark.parametrize("codec", CODECS, ids=repr)
@settings(max_examples=40, deadline=None)
@given(order=orders)
def test_annotated_data_comes_back_with_its_types(codec: Codec, order: Order) -> None:
    assert codec.decoder(Order)(codec.encode(order)) == order


@pytest.mark.parametrize("codec", CODECS, ids=repr)
@settings(max_examples=40, deadline=None)
@given(arguments=st.lists(plain, max_size=4) | st.dictionaries(text, plain, max_size=4))
def test_arguments_come_back_one_by_one(codec: Codec, arguments: Any) -> None:
    parts = codec.split(codec.encode_arguments(arguments))
    decode = codec.part_decoder(Any)
    if isinstance(arguments, dict):
        assert isinstance(parts, dict)
        assert {name: decode(part) for name, part in parts.items()} == arguments
    else:
        assert [decode(part) for part in parts] == arguments


@pytest.mark.parametrize("codec", [*CODECS, Bytes()], ids=repr)
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=100))
def test_bytes_that_are_not_of_the_format_are_a_value_error_and_nothing_else(
    codec: Codec, data: bytes
) -> None:
    if isinstance(codec, UnsafePickle):
        # Any bytes may be a program for it; these are not.
        data = b"\xff" + data
    for decode in (codec.decoder(list[int]) if not codec.single else codec.decoder(str), codec.split):
        try:
            decode(data)
        except ValueError:
            pass


@settings(max_examples=40, deadline=None)
@given(value=st.binary(max_size=100) | st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_raw_bytes_and_text_travel_as_they_are(value: bytes | str) -> None:
    codec = Bytes()
    assert codec.decoder(type(value))(codec.encode(value)) == value
    assert codec.encode_arguments([value]) == (value if isinstance(value, bytes) else value.encode())


def test_a_decimal_keeps_its_digits_though_json_writes_it_as_a_number() -> None:
    assert JSON().decoder(Decimal)(b"1.10") == Decimal("1.10")


def test_yaml_makes_no_objects_and_unfolds_no_aliases() -> None:
    codec = YAML()
    with pytest.raises(ValueError, match="constructor"):
        codec.split(b"- !!python/object/apply:os.system ['true']")
    with pytest.raises(ValueError, match="aliases"):
        codec.split(b"- &a [1, 1]\n- [*a, *a]\n")
    same = [1, 2]
    assert codec.decoder(Any)(codec.encode([same, same])) == [same, same]


def test_pickle_is_had_only_by_a_name_that_says_unsafe_and_warns() -> None:
    with pytest.warns(UnsafePickleWarning, match="runs any code"):
        UnsafePickle()


def test_pickle_carries_what_other_formats_can_not_and_checks_its_type() -> None:
    value = {(1, 2): {3}}
    assert PICKLE.decoder(dict[tuple[int, int], set[int]])(PICKLE.encode(value)) == value
    with pytest.raises(ValueError, match="Expected `int`"):
        PICKLE.decoder(int)(PICKLE.encode("two"))


def test_what_a_format_can_not_hold_is_a_type_error() -> None:
    for codec in CODECS:
        with pytest.raises(TypeError):
            codec.encode(lambda: None)
    with pytest.raises(TypeError, match="takes bytes"):
        Bytes().encode(3)
    with pytest.raises(TypeError, match="annotate bytes or str"):
        Bytes().decoder(int)
