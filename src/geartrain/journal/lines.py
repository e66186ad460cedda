"""A journal as lines of JSON: what `geartrain journal export` writes and `import` reads.

The first line says what the file is. Then there is one line for each job and document. Bytes that are UTF-8
are text; others are base64 under the same name with `_base64` behind it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

from ..broker.history import load_history
from ..broker.records import DEAD, QUEUED, Document, JobRecord
from ..broker.state import HIGH, LOW, NORMAL
from ..errors import JournalError

HEAD: Final = {"geartrain journal": 1}
"""The first line; the number is the format's version."""
_STATES: Final = {"queued": QUEUED, "dead": DEAD}
_BYTES: Final = ("function", "unique", "workload", "reducer", "history")


def write(file: IO[str], items: Iterable[Document | JobRecord]) -> int:
    """Write documents and jobs; returns how many jobs there were."""
    file.write(json.dumps(HEAD) + "\n")
    count = 0
    for item in items:
        if isinstance(item, Document):
            fields: dict[str, Any] = {"document": item.kind, "key": item.key} | _as_text("value", item.value)
        else:
            fields = {"job": item.number}
            for name, value in zip(JobRecord._fields[1:], item[1:], strict=True):
                fields |= _as_text(name, value) if isinstance(value, bytes) else {name: value}
            fields["state"] = "dead" if item.state == DEAD else "queued"
            count += 1
        file.write(json.dumps(fields) + "\n")
    return count


def read(lines: Iterable[str], name: str) -> Iterator[Document | JobRecord]:
    """What `write` wrote.

    Raises:
        JournalError: it is something else; with the number of the line.
    """
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            fields = json.loads(line)
            if number == 1:
                if fields != HEAD:
                    raise ValueError("it does not begin as an export of this release's format does")
            elif "document" in fields:
                yield Document(str(fields["document"]), str(fields["key"]), _as_bytes("value", fields))
            else:
                yield _job(fields)
        if not number:
            raise ValueError("it is empty")
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        what: object = error
        if isinstance(error, KeyError):
            what = f"{error} is missing"
        elif isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            what = "it is not JSON"
        raise JournalError(f"{name}, line {number or 1}: {what}") from None


def _job(fields: dict[str, Any]) -> JobRecord:
    function, unique, workload, reducer, history = (_as_bytes(name, fields) for name in _BYTES)
    if not function:
        raise ValueError("a job without a function")
    number, priority = int(fields["job"]), int(fields["priority"])
    if not 0 <= number < 1 << 62:
        raise ValueError(f"a job's number is not {number}")
    if priority not in (HIGH, NORMAL, LOW):
        raise ValueError(f"a job's priority is {HIGH}, {NORMAL} or {LOW}, not {priority}")
    if history:
        load_history(history)
    state = fields["state"]
    if state not in _STATES:
        raise ValueError(f"a job is {' or '.join(_STATES)}, not {state}")
    due, queued_at = float(fields["due"]), float(fields["queued_at"])
    if not (math.isfinite(due) and math.isfinite(queued_at)):
        raise ValueError("due and queued_at are seconds since the epoch")
    return JobRecord(
        number,
        function,
        unique,
        workload,
        priority,
        due,
        reducer,
        _STATES[state],
        history,
        queued_at,
    )


def _as_text(name: str, value: bytes) -> dict[str, str]:
    if not value:
        return {}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {name + "_base64": base64.b64encode(value).decode()}


def _as_bytes(name: str, fields: dict[str, Any]) -> bytes:
    if name + "_base64" in fields:
        return base64.b64decode(fields[name + "_base64"], validate=True)
    text = fields.get(name, "")
    if not isinstance(text, str):
        raise ValueError(f"{name}: expected text, got {text!r}")
    return text.encode()
