"""The packet types of Gearman's binary protocol, and what each carries.

A packet is a header of 12 bytes (magic, type, size of the body, the numbers big-endian) and a body: the
type's arguments with a NUL between each two. The last argument runs to the end of the body and may hold
NULs itself; the others may not.

The types are plain integers, since they are compared on the hot path; `PACKETS` describes them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

REQUEST: Final = b"\0REQ"
"""The magic of packets that go to the job server."""
RESPONSE: Final = b"\0RES"
"""The magic of packets that come from the job server."""
HEADER_SIZE: Final = 12
DEFAULT_PORT: Final = 4730
"""The port that IANA registered for Gearman."""

# The protocol numbers its types from 1. Zero is ours: a line of the text protocol, handed on as a packet.
TEXT: Final = 0
# Ours too: a complete packet whose magic says that it travels the other way.
WRONG_WAY: Final = -1
# Ours as well: a packet over the reader's limit, of which only the beginning was kept. See `Parser`.
OVERSIZED: Final = -2

CAN_DO: Final = 1
CANT_DO: Final = 2
RESET_ABILITIES: Final = 3
PRE_SLEEP: Final = 4
NOOP: Final = 6
SUBMIT_JOB: Final = 7
JOB_CREATED: Final = 8
GRAB_JOB: Final = 9
NO_JOB: Final = 10
JOB_ASSIGN: Final = 11
WORK_STATUS: Final = 12
WORK_COMPLETE: Final = 13
WORK_FAIL: Final = 14
GET_STATUS: Final = 15
ECHO_REQ: Final = 16
ECHO_RES: Final = 17
SUBMIT_JOB_BG: Final = 18
ERROR: Final = 19
STATUS_RES: Final = 20
SUBMIT_JOB_HIGH: Final = 21
SET_CLIENT_ID: Final = 22
CAN_DO_TIMEOUT: Final = 23
ALL_YOURS: Final = 24
WORK_EXCEPTION: Final = 25
OPTION_REQ: Final = 26
OPTION_RES: Final = 27
WORK_DATA: Final = 28
WORK_WARNING: Final = 29
GRAB_JOB_UNIQ: Final = 30
JOB_ASSIGN_UNIQ: Final = 31
SUBMIT_JOB_HIGH_BG: Final = 32
SUBMIT_JOB_LOW: Final = 33
SUBMIT_JOB_LOW_BG: Final = 34
SUBMIT_JOB_SCHED: Final = 35
SUBMIT_JOB_EPOCH: Final = 36
SUBMIT_REDUCE_JOB: Final = 37
SUBMIT_REDUCE_JOB_BACKGROUND: Final = 38
GRAB_JOB_ALL: Final = 39
JOB_ASSIGN_ALL: Final = 40
GET_STATUS_UNIQUE: Final = 41
STATUS_RES_UNIQUE: Final = 42
LAST: Final = 42


class Packet(NamedTuple):
    """What a packet type is called, who sends it, and which arguments it carries."""

    name: str
    request: bool
    """Sent to the job server."""
    response: bool
    """Sent by the job server."""
    arguments: tuple[str, ...]


def _request(name: str, *arguments: str) -> Packet:
    return Packet(name, True, False, arguments)


def _response(name: str, *arguments: str) -> Packet:
    return Packet(name, False, True, arguments)


def _both(name: str, *arguments: str) -> Packet:
    return Packet(name, True, True, arguments)


PACKETS: Final[dict[int, Packet]] = {
    CAN_DO: _request("CAN_DO", "function"),
    CANT_DO: _request("CANT_DO", "function"),
    RESET_ABILITIES: _request("RESET_ABILITIES"),
    PRE_SLEEP: _request("PRE_SLEEP"),
    NOOP: _response("NOOP"),
    SUBMIT_JOB: _request("SUBMIT_JOB", "function", "unique", "workload"),
    JOB_CREATED: _response("JOB_CREATED", "handle"),
    GRAB_JOB: _request("GRAB_JOB"),
    NO_JOB: _response("NO_JOB"),
    JOB_ASSIGN: _response("JOB_ASSIGN", "handle", "function", "workload"),
    WORK_STATUS: _both("WORK_STATUS", "handle", "numerator", "denominator"),
    WORK_COMPLETE: _both("WORK_COMPLETE", "handle", "result"),
    WORK_FAIL: _both("WORK_FAIL", "handle"),
    GET_STATUS: _request("GET_STATUS", "handle"),
    ECHO_REQ: _request("ECHO_REQ", "data"),
    ECHO_RES: _response("ECHO_RES", "data"),
    SUBMIT_JOB_BG: _request("SUBMIT_JOB_BG", "function", "unique", "workload"),
    ERROR: _response("ERROR", "code", "text"),
    STATUS_RES: _response("STATUS_RES", "handle", "known", "running", "numerator", "denominator"),
    SUBMIT_JOB_HIGH: _request("SUBMIT_JOB_HIGH", "function", "unique", "workload"),
    SET_CLIENT_ID: _request("SET_CLIENT_ID", "id"),
    CAN_DO_TIMEOUT: _request("CAN_DO_TIMEOUT", "function", "timeout"),
    ALL_YOURS: _request("ALL_YOURS"),
    WORK_EXCEPTION: _both("WORK_EXCEPTION", "handle", "exception"),
    OPTION_REQ: _request("OPTION_REQ", "option"),
    OPTION_RES: _response("OPTION_RES", "option"),
    WORK_DATA: _both("WORK_DATA", "handle", "data"),
    WORK_WARNING: _both("WORK_WARNING", "handle", "warning"),
    GRAB_JOB_UNIQ: _request("GRAB_JOB_UNIQ"),
    JOB_ASSIGN_UNIQ: _response("JOB_ASSIGN_UNIQ", "handle", "function", "unique", "workload"),
    SUBMIT_JOB_HIGH_BG: _request("SUBMIT_JOB_HIGH_BG", "function", "unique", "workload"),
    SUBMIT_JOB_LOW: _request("SUBMIT_JOB_LOW", "function", "unique", "workload"),
    SUBMIT_JOB_LOW_BG: _request("SUBMIT_JOB_LOW_BG", "function", "unique", "workload"),
    SUBMIT_JOB_SCHED: _request(
        "SUBMIT_JOB_SCHED",
        "function",
        "unique",
        "minute",
        "hour",
        "day of month",
        "month",
        "day of week",
        "workload",
    ),
    SUBMIT_JOB_EPOCH: _request("SUBMIT_JOB_EPOCH", "function", "unique", "epoch", "workload"),
    SUBMIT_REDUCE_JOB: _request(
        "SUBMIT_REDUCE_JOB", "function", "unique", "reducer", "aggregate", "workload"
    ),
    SUBMIT_REDUCE_JOB_BACKGROUND: _request(
        "SUBMIT_REDUCE_JOB_BACKGROUND", "function", "unique", "reducer", "aggregate", "workload"
    ),
    GRAB_JOB_ALL: _request("GRAB_JOB_ALL"),
    JOB_ASSIGN_ALL: _response("JOB_ASSIGN_ALL", "handle", "function", "unique", "reducer", "workload"),
    GET_STATUS_UNIQUE: _request("GET_STATUS_UNIQUE", "unique"),
    STATUS_RES_UNIQUE: _response(
        "STATUS_RES_UNIQUE", "unique", "known", "running", "numerator", "denominator", "clients"
    ),
}
"""Every packet type of the protocol; 5 was never given out."""

UNANSWERED: Final[frozenset[int]] = frozenset(
    {
        CAN_DO,
        CAN_DO_TIMEOUT,
        CANT_DO,
        RESET_ABILITIES,
        SET_CLIENT_ID,
        PRE_SLEEP,
        WORK_STATUS,
        WORK_DATA,
        WORK_WARNING,
        WORK_COMPLETE,
        WORK_FAIL,
        WORK_EXCEPTION,
    }
)
"""Requests without a response: their sender may send the next one at once."""


OVERSIZED_TYPES: Final[frozenset[int]] = frozenset(
    {
        *(type for type, packet in PACKETS.items() if packet.name.startswith("SUBMIT_")),
        JOB_ASSIGN,
        JOB_ASSIGN_UNIQ,
        JOB_ASSIGN_ALL,
        WORK_DATA,
        WORK_WARNING,
        WORK_STATUS,
        WORK_COMPLETE,
        WORK_EXCEPTION,
        WORK_FAIL,
    }
)
"""Packets about one job: over the limit, that job fails and the connection goes on."""


def name_of(type: int) -> str:
    """The protocol's name of a packet type, or its number where it has none."""
    packet = PACKETS.get(type)
    return str(type) if packet is None else packet.name
