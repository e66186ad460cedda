"""The incremental reader: any split of the bytes in, the same packets out.

A chunk from a socket may hold a part of a packet or hundreds of packets. They are cut in one pass; bytes are
kept only for what is not complete yet, and a large body is gathered as it arrives, never allocated on its
header's word. Text lines and binary packets may alternate on one connection: a packet begins with a NUL, a
line never does.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import LineTooLongError, PacketTooLargeError, ProtocolError
from .packets import (
    HEADER_SIZE,
    JOB_ASSIGN,
    JOB_ASSIGN_ALL,
    JOB_ASSIGN_UNIQ,
    OVERSIZED,
    OVERSIZED_TYPES,
    REQUEST,
    RESPONSE,
    TEXT,
    WORK_COMPLETE,
    WORK_DATA,
    WORK_EXCEPTION,
    WORK_FAIL,
    WORK_STATUS,
    WORK_WARNING,
    WRONG_WAY,
    name_of,
)

MAX_PACKET: Final = 128 * 1024 * 1024
"""Bytes of a body that a reader takes if it is told nothing else. This is a security limit."""
UNKNOWN: Final = 0xFFFFFF
"""What a type that doesn't fit in a byte, or zero, is handed on as; the protocol has no such type."""
MAX_LINE: Final = 8 * 1024
"""Bytes of a text line. This is a security limit."""

OVERSIZED_HEAD: Final = 256
"""Bytes of the body that are kept of a packet over the limit: its handle is in them."""

PART_COST: Final = 64
"""Bytes that a part of a body takes beside what it holds, about."""


class Parser:
    """Cuts the bytes of one connection into packets.

    Args:
        magic: the magic of what this side reads, `REQUEST` on a job server and `RESPONSE` elsewhere.
        max_packet: bytes of a body that are taken at most.
        max_line: bytes of a text line that are taken at most.
    """

    def __init__(self, magic: bytes, max_packet: int = MAX_PACKET, max_line: int = MAX_LINE) -> None:
        self._magic = magic
        # What a packet of a type that there is begins with, up to the type's last byte.
        self._begin = magic + b"\0\0\0"
        self._other_magic = RESPONSE if magic == REQUEST else REQUEST
        self._max_packet = max_packet
        # The header that was read last of a packet with a body, and of one without; and what they say. A peer
        # says the same again and again, and to see that costs less than to take twelve bytes apart.
        self._head = b""
        self._head_type = 0
        self._head_size = 0
        self._bare_head = b""
        self._bare_type = 0
        self._max_line = max_line
        self.idle = True
        """Whether the bytes so far ended exactly at the end of a packet or line."""
        # Bytes of an incomplete header or line.
        self._rest = b""
        # An incomplete body: its type, what is there, and how many bytes are missing (0: no such body).
        self._type = 0
        self._body: list[bytes] = []
        self._missing = 0
        self._gathered = 0
        # Bytes of an oversized body: those to skip now, and those behind the part that is gathered.
        self._to_skip = 0
        self._skip_after = 0

    @property
    def unfinished(self) -> int:
        """Bytes that the packet takes which has begun and not ended; every part of it costs some more."""
        return len(self._rest) + self._gathered + PART_COST * len(self._body)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take the next bytes and return the packets that they complete, as (type, body).

        A text line comes as (`TEXT`, line without its end); a packet whose magic belongs to the other
        direction as (`WRONG_WAY`, body). Types that the protocol does not know are handed on. Of a packet
        about one job that is over the limit the body is skipped: it comes as (`OVERSIZED`, body), for
        `read_oversized`.

        Raises:
            PacketTooLargeError, LineTooLongError: a security limit was passed.
            ProtocolError: the bytes are neither a packet nor a line. After any of these the parser is
                spent; packets that came before in the same chunk are in the error's `packets` attribute.
        """
        packets: list[tuple[int, bytes]] = []
        start = 0
        if self._to_skip:
            start = self._skip(len(data), 0)
            if start < 0:
                return packets
        elif self._missing:
            have = len(data)
            if have < self._missing:
                self._body.append(data)
                self._missing -= have
                self._gathered += have
                return packets
            start = self._missing
            self._body.append(data[:start])
            packets.append((self._type, b"".join(self._body)))
            self._body = []
            self._missing = 0
            self._gathered = 0
            self.idle = True
            if self._skip_after:
                start = self._begin_to_skip(len(data), start)
                if start < 0:
                    return packets
        elif self._rest:
            data = self._rest + data
            self._rest = b""
            self.idle = True
        try:
            self._cut(data, start, packets)
        except ProtocolError as error:
            error.packets = packets
            raise
        return packets

    def _cut(self, data: bytes, start: int, packets: list[tuple[int, bytes]]) -> None:
        """Append every packet of `data` from `start` on, and keep what is incomplete."""
        end = len(data)
        while start < end:
            body = start + HEADER_SIZE
            head = data[start:body]
            if head == self._bare_head:
                packets.append((self._bare_type, b""))
                start = body
                continue
            if head != self._head:
                if data[start]:
                    start = self._cut_line(data, start, packets)
                    if start < 0:
                        return
                    continue
                if body > end:
                    self._keep_head(head)
                    return
                type = head[7]
                if type == TEXT or head[:7] != self._begin:
                    type = self._odd_type(head[:4])
                size = (head[8] << 24) | (head[9] << 16) | (head[10] << 8) | head[11]
                if size > self._max_packet:
                    start = self._cut_oversized(data, body, type, size, packets)
                    if start < 0:
                        return
                    continue
                if not size:
                    self._bare_head = head
                    self._bare_type = type
                    continue  # with the same header, which is recognised now
                self._head = head
                self._head_type = type
                self._head_size = size
            type = self._head_type
            start = body + self._head_size
            if start > end:
                self._type = type
                self._body = [data[body:]]
                self._missing = start - end
                self._gathered = end - body
                self.idle = False
                return
            packets.append((type, data[body:start]))

    def _cut_oversized(
        self, data: bytes, body: int, type: int, size: int, packets: list[tuple[int, bytes]]
    ) -> int:
        """Cut the beginning of a body over the limit; return where the next packet begins, -1 if not here."""
        if type not in OVERSIZED_TYPES:
            raise PacketTooLargeError(size, self._max_packet)
        told = b"%d\0%d\0%d\0" % (type, size, self._max_packet)
        kept = min(size, OVERSIZED_HEAD)
        self._skip_after = size - kept
        if len(data) - body < kept:
            self._type = OVERSIZED
            self._body = [told, data[body:]]
            self._missing = kept - (len(data) - body)
            self._gathered = len(told) + len(data) - body
            self.idle = False
            return -1
        packets.append((OVERSIZED, told + data[body : body + kept]))
        return self._begin_to_skip(len(data), body + kept)

    def _begin_to_skip(self, end: int, start: int) -> int:
        self._to_skip = self._skip_after
        self._skip_after = 0
        return self._skip(end, start)

    def _skip(self, end: int, start: int) -> int:
        """Leave bytes of an oversized body out; return where the next packet begins, -1 if not here."""
        there = end - start
        if there < self._to_skip:
            self._to_skip -= there
            self.idle = False
            return -1
        start += self._to_skip
        self._to_skip = 0
        self.idle = True
        return start

    def _keep_head(self, rest: bytes) -> None:
        """A header has begun and not ended."""
        magic = rest[:4]
        if not (self._magic.startswith(magic) or self._other_magic.startswith(magic)):
            raise ProtocolError(f"a packet began with {magic!r}")
        self._rest = rest
        self.idle = False

    def _odd_type(self, magic: bytes) -> int:
        """The type of a packet that is none of the protocol's, or whose magic is the other direction's."""
        if magic == self._magic:
            # Whatever its number is, nobody knows it. On the wire zero is no type; here it means a text line.
            return UNKNOWN
        if magic == self._other_magic:
            return WRONG_WAY
        raise ProtocolError(f"a packet began with {magic!r}")

    def _cut_line(self, data: bytes, start: int, packets: list[tuple[int, bytes]]) -> int:
        """Append the line at `start`; returns where the next one begins, or -1 if this one has no end."""
        newline = data.find(b"\n", start, start + self._max_line + 1)
        if newline < 0:
            if len(data) - start > self._max_line:
                raise LineTooLongError(self._max_line)
            self._rest = data[start:]
            self.idle = False
            return -1
        packets.append((TEXT, data[start:newline].removesuffix(b"\r")))
        return newline + 1


class Oversized(NamedTuple):
    """A packet about one job that was over the reader's limit."""

    type: int
    size: int
    """Bytes of its body."""
    limit: int
    """Bytes that the reader takes."""
    handle: bytes
    """The first argument: the job's handle, or a submission's function."""

    def sentence(self, whose: str) -> str:
        """Return the reason for people; `whose` limit it is."""
        thing = _THINGS.get(self.type, "packet")
        kind = name_of(self.type)
        return f"the {thing} ({kind}) of {self.size} bytes is over {whose} limit of {self.limit} bytes"


_THINGS: Final[dict[int, str]] = {
    WORK_COMPLETE: "result",
    WORK_EXCEPTION: "exception",
    WORK_DATA: "data",
    WORK_WARNING: "warning",
    WORK_STATUS: "status",
    WORK_FAIL: "failure",
    JOB_ASSIGN: "workload",
    JOB_ASSIGN_UNIQ: "workload",
    JOB_ASSIGN_ALL: "workload",
}


def read_oversized(body: bytes) -> Oversized:
    """Return what is known of an `OVERSIZED` packet."""
    type, size, limit, head = body.split(b"\0", 3)
    return Oversized(int(type), int(size), int(limit), head.partition(b"\0")[0])
