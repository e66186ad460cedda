"""Jobs as the bytes of their rows: packed, since SQLite spends more on each column than on what is in it.

A row of its own is for a job that was written again, or that came alone. First a head of fixed size: the
number once more, priority, state, due, queued_at, and how long the function, the unique, the reducer and the
history are. Then those four, and the workload, which takes the rest.

Jobs that came together share a row, as MessagePack: their runs (see `Run`), and apart from these, so that
they can be read without the rest, all uniques and all workloads. The runs end with a checksum of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias
from zlib import crc32

import msgspec

from ..broker.records import JobRecord, NewJobs, Run

_HEAD: Final = Struct("<qBBddIIII")
_HEAD_SIZE: Final = _HEAD.size

FEWEST: Final = 8
"""Jobs that share a row at least: what is known of a row costs memory, too."""
MOST: Final = 1024
"""Jobs that share a row at most."""
MAX_SPAN: Final = 8 * MOST
"""Numbers from the first job of a row to its last at most: for each of them there is a bit in memory."""
MAX_BYTES: Final = 256 * 1024
"""Bytes of workloads that are bound to one statement: SQLite copies them."""

_CRC: Final = 4
_encode: Final[Any] = msgspec.msgpack.Encoder().encode
_decode_runs: Final[Any] = msgspec.msgpack.Decoder(list[tuple[int, int, bytes, int, bytes, float]]).decode
_decode_columns: Final[Any] = msgspec.msgpack.Decoder(tuple[list[bytes], list[bytes]]).decode


class Row(NamedTuple):
    """Jobs that came together, as they are written; a bit for each is counted from the first one's number."""

    first: int
    runs: bytes
    jobs: bytes
    checksum: int
    bits: int


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


Packed: TypeAlias = tuple[list[Row], list[JobRecord]]
"""Rows that jobs share, and jobs that had better have rows of their own."""


def pack_together(new: NewJobs) -> Packed:
    """New jobs as the rows to write."""
    workloads = new.workloads
    if not workloads:
        return [], []
    runs = new.runs
    span = runs[-1].first + runs[-1].length - runs[0].first
    size = sum([len(workload) for workload in workloads])
    if FEWEST <= len(workloads) <= MOST and span <= MAX_SPAN and size <= MAX_BYTES:
        return [_row(new)], []
    rows: list[Row] = []
    alone: list[JobRecord] = []
    for part in _parts(new.records()):
        if len(part) < FEWEST:
            alone += part
        else:
            rows.append(_row(_columns(part)))
    return rows, alone


def _row(new: NewJobs) -> Row:
    runs = _encode(new.runs)
    runs += crc32(runs).to_bytes(_CRC, "little")
    jobs = _encode((new.uniques, new.workloads))
    return Row(new.runs[0].first, runs, jobs, crc32(jobs, crc32(runs)), _bits(new.runs))


def _bits(runs: list[Run]) -> int:
    bits = 0
    start = runs[0].first
    for run in runs:
        bits |= ((1 << run.length) - 1) << (run.first - start)
    return bits


def _parts(records: list[JobRecord]) -> Iterator[list[JobRecord]]:
    part: list[JobRecord] = []
    size = 0
    for record in records:
        size += len(record.workload)
        if part and (size > MAX_BYTES or len(part) == MOST or record.number - part[0].number >= MAX_SPAN):
            yield part
            part = []
            size = len(record.workload)
        part.append(record)
    yield part


def _columns(records: list[JobRecord]) -> NewJobs:
    runs = [
        Run(record.number, 1, record.function, record.priority, record.reducer, record.queued_at)
        for record in records
    ]
    return NewJobs(runs, [record.unique for record in records], [record.workload for record in records])


def read_bits(first: Any, runs: Any) -> int | None:
    """A bit for each job of a row that some share; None if that is not what was packed."""
    found = _read_runs(first, runs)
    return None if found is None else _bits(found)


def _read_runs(first: Any, packed: Any) -> list[Run] | None:
    if not (isinstance(first, int) and isinstance(packed, bytes)):
        return None
    if crc32(packed[:-_CRC]).to_bytes(_CRC, "little") != packed[-_CRC:]:
        return None
    try:
        runs = [Run(*fields) for fields in _decode_runs(packed[:-_CRC])]
    except msgspec.MsgspecError:
        return None
    following = first
    for run in runs:
        if run.first < following or run.length < 1 or run.first + run.length - first > MAX_SPAN:
            return None
        following = run.first + run.length
    return runs if runs and runs[0].first == first else None


def unpack_together(
    first: Any, runs: Any, jobs: Any, checksum: Any, alive: int | None = None
) -> list[JobRecord] | None:
    """The jobs of a row that some share, all or those that `alive` has a bit for; None if it is damaged."""
    if not (isinstance(runs, bytes) and isinstance(jobs, bytes) and crc32(jobs, crc32(runs)) == checksum):
        return None
    heads = _read_runs(first, runs)
    if heads is None:
        return None
    try:
        uniques, workloads = _decode_columns(jobs)
    except msgspec.MsgspecError:
        return None
    if not sum([run.length for run in heads]) == len(uniques) == len(workloads):
        return None
    records = NewJobs(heads, uniques, workloads).records()
    if alive is None:
        return records
    return [record for record in records if alive >> (record.number - first) & 1]
