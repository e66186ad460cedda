"""Packets as bytes: the header written, the body cut into its arguments."""

from __future__ import annotations

from typing import Final

from ..errors import MalformedPacketError
from .packets import LAST, PACKETS, REQUEST, RESPONSE, name_of

# Magic and type of every packet, so that encoding adds only the size and the body.
_REQUEST_HEADS: Final[list[bytes]] = [REQUEST + type.to_bytes(4, "big") for type in range(LAST + 1)]
_RESPONSE_HEADS: Final[list[bytes]] = [RESPONSE + type.to_bytes(4, "big") for type in range(LAST + 1)]
_ARGUMENTS: Final[list[int]] = [
    len(PACKETS[type].arguments) if type in PACKETS else 0 for type in range(LAST + 1)
]
# The sizes of small bodies as the header has them.
_SMALL: Final = 1024
_SIZES: Final[list[bytes]] = [size.to_bytes(4, "big") for size in range(_SMALL)]


def bytes_of(data: bytes | bytearray | memoryview | str) -> bytes:
    """Data of the caller's as it is sent; text as UTF-8.

    Raises:
        TypeError: it is neither. (`bytes` would make so many NULs of a number.)
    """
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"{data!r:.100}: what is sent is bytes or str")


def request(type: int, body: bytes = b"") -> bytes:
    """One packet to a job server. `body` holds the arguments, joined by NULs."""
    return request_head(type, len(body)) + body


def response(type: int, body: bytes = b"") -> bytes:
    """One packet from a job server. `body` holds the arguments, joined by NULs."""
    size = len(body)
    # Not by `response_head`: servers say this for every job, and interpreted a call is the most of it.
    return _RESPONSE_HEADS[type] + (_SIZES[size] if size < _SMALL else size.to_bytes(4, "big")) + body


def request_head(type: int, size: int) -> bytes:
    """The header alone, for a body of `size` bytes that is written after it without being copied."""
    return _REQUEST_HEADS[type] + (_SIZES[size] if size < _SMALL else size.to_bytes(4, "big"))


def response_head(type: int, size: int) -> bytes:
    """The header alone, for a body of `size` bytes that is written after it without being copied."""
    return _RESPONSE_HEADS[type] + (_SIZES[size] if size < _SMALL else size.to_bytes(4, "big"))


def arguments(type: int, body: bytes) -> list[bytes]:
    """Cut a body into the arguments that its type asks for; the last one keeps its NULs.

    Raises:
        MalformedPacketError: the body holds fewer arguments than the type asks for.
    """
    count = _ARGUMENTS[type]
    if count == 0:
        if body:
            raise MalformedPacketError(f"{name_of(type)} takes no argument, got {len(body)} bytes")
        return []
    found = body.split(b"\0", count - 1)
    if len(found) != count:
        raise MalformedPacketError(f"{name_of(type)} takes {count} arguments, got {len(found)}")
    return found


MAX_DIGITS: Final = 19
"""Digits of a number in a packet, as many as 64 bits hold; the rest is left out."""


def leading_int(text: bytes) -> int:
    """Return the whole number at the beginning of an argument as C's `atoi` does; 0 if there is none.

    The Perl server leaves numbers empty that no worker has sent, and some workers send fractions.
    """
    text = text.strip()
    start = 1 if text[:1] in (b"-", b"+") else 0
    end = start
    most = min(len(text), start + MAX_DIGITS)
    while end < most and 48 <= text[end] <= 57:
        end += 1
    return int(text[:end]) if end > start else 0
