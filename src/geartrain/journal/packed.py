"""A job as the bytes of its row: packed, since SQLite spends more on each column than on what is in it.

First a head of fixed size: the number once more, priority, state, due, queued_at, and how long the function,
the unique, the reducer and the history are. Then those four, and the workload, which takes the rest.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final
from zlib import crc32

from ..broker.records import JobRecord

_HEAD: Final = Struct("<qBBddIIII")
_HEAD_SIZE: Final = _HEAD.size


def pack(record: JobRecord) -> bytearray:
    """A job's bytes: a `bytearray`, as sqlite3 looks long for an adapter of each `bytes` that it binds."""
    number, function, unique, workload, priority, due, reducer, state, history, queued_at = record
    return bytearray().join(
        (
            _HEAD.pack(
                number,
                priority,
                state,
                due,
                queued_at,
                len(function),
                len(unique),
                len(reducer),
                len(history),
            ),
            function,
            unique,
            reducer,
            history,
            workload,
        )
    )


def unpack(number: int, packed: Any, checksum: int) -> JobRecord | None:
    """The job again; None if these are not the bytes that were packed under that number."""
    if not isinstance(packed, bytes) or len(packed) < _HEAD_SIZE or crc32(packed) != checksum:
        return None
    found, priority, state, due, queued_at, function, unique, reducer, history = _HEAD.unpack_from(packed)
    function += _HEAD_SIZE
    unique += function
    reducer += unique
    history += reducer
    if found != number:
        return None
    return JobRecord(
        number,
        packed[_HEAD_SIZE:function],
        packed[function:unique],
        packed[history:],
        priority,
        due,
        packed[unique:reducer],
        state,
        packed[reducer:history],
        queued_at,
    )
