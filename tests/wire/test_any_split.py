"""Any packets, split at any bytes, come out as they went in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geartrain.errors import LineTooLongError, PacketTooLargeError, ProtocolError
from geartrain.wire import packets as p
from geartrain.wire.codec import arguments, request, response
from geartrain.wire.parser import Parser

at_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TYPES = sorted(type for type in p.PACKETS if p.PACKETS[type].request)
bodies = st.binary(max_size=200)
# A CR before the LF belongs to a line's end.
lines = st.binary(min_size=1, max_size=40).filter(
    lambda line: line[0] != 0 and b"\n" not in line and not line.endswith(b"\r")
)
binary = st.tuples(st.sampled_from(TYPES), bodies)
text = st.tuples(st.just(p.TEXT), lines)
conversations = st.lists(st.one_of(binary, text), max_size=20)


def encoded(packets: list[tuple[int, bytes]], end: bytes) -> bytes:
    return b"".join(body + end if type == p.TEXT else request(type, body) for type, body in packets)


@at_any_speed
@given(
    packets=conversations,
    cuts=st.lists(st.integers(0, 3000), max_size=30),
    end=st.sampled_from([b"\n", b"\r\n"]),
)
def test_any_packets_and_lines_split_at_any_bytes_come_out_as_they_went_in(
    packets: list[tuple[int, bytes]], cuts: list[int], end: bytes
) -> None:
    data = encoded(packets, end)
    parser = Parser(p.REQUEST)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found = [packet for start, stop in pairwise(edges) for packet in parser.feed(data[start:stop])]
    assert found == packets
    assert parser.idle


@at_any_speed
@given(packets=conversations)
def test_packets_come_out_as_they_went_in_a_byte_at_a_time(packets: list[tuple[int, bytes]]) -> None:
    data = encoded(packets, b"\n")
    parser = Parser(p.REQUEST)
    assert [packet for at in range(len(data)) for packet in parser.feed(data[at : at + 1])] == packets


@at_any_speed
@given(data=st.data(), type=st.sampled_from(sorted(p.PACKETS)))
def test_arguments_are_cut_as_they_were_joined(data: st.DataObject, type: int) -> None:
    count = len(p.PACKETS[type].arguments)
    whole = st.binary(max_size=30)
    plain = whole.filter(lambda argument: b"\0" not in argument)
    given_ = [data.draw(plain) for _ in range(count - 1)] + ([data.draw(whole)] if count else [])
    assert arguments(type, b"\0".join(given_)) == given_


@at_any_speed
@given(type=st.sampled_from(sorted(p.PACKETS)), body=bodies)
def test_responses_are_read_by_clients_and_wrong_way_packets_are_told_apart(type: int, body: bytes) -> None:
    assert Parser(p.RESPONSE).feed(response(type, body)) == [(type, body)]
    assert Parser(p.REQUEST).feed(response(type, body)) == [(p.WRONG_WAY, body)]


@at_any_speed
@given(data=st.binary(max_size=300))
def test_any_bytes_are_packets_lines_or_a_protocol_error(data: bytes) -> None:
    parser = Parser(p.REQUEST, 100, 50)
    try:
        found = parser.feed(data)
    except ProtocolError as error:
        found = error.packets
    assert all(len(body) <= 100 for _, body in found)


def test_a_size_over_the_limit_is_refused_from_the_header_alone() -> None:
    whole = request(p.ECHO_REQ, b"whole")
    with pytest.raises(PacketTooLargeError) as caught:
        Parser(p.REQUEST, 100).feed(whole + b"\0REQ\0\0\0\x10\xff\xff\xff\xff")
    assert caught.value.size == 2**32 - 1
    assert caught.value.packets == [(p.ECHO_REQ, b"whole")]


def test_a_line_without_an_end_is_refused_at_the_limit() -> None:
    parser = Parser(p.REQUEST, 100, 50)
    assert parser.feed(b"x" * 50) == []
    with pytest.raises(LineTooLongError):
        parser.feed(b"x")
