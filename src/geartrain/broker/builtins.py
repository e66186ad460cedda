"""Functions that the job server does itself, for any client in any language.

A job to one of them is answered at once, by no worker: a result is WORK_COMPLETE with JSON (but for
`geartrain.result`, which answers as the job did that it asks for), a question that makes no sense is
WORK_EXCEPTION with a sentence. Workloads are JSON too, but where a handle is all there is to say.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from itertools import islice
from typing import Any, Final

from ..wire import packets as p
from ..wire.codec import response
from . import policies
from .jobs import Jobs
from .ledger import Ledger
from .limits import Refused
from .outbox import Outboxes
from .results import EXCEPTION, FAIL
from .state import Job, Peer

BUILTIN_PREFIX: Final = b"geartrain."
"""What the names of all built-in functions begin with."""

MAX_QUESTION: Final = 1024 * 1024
"""Bytes of a workload at most: what is made of it takes a multiple, and everybody waits meanwhile."""

_OF_A_JOB: Final = frozenset({b"geartrain.result", b"geartrain.outcome"})

Builtin = Callable[[bytes], Any]
"""Takes the workload, returns what JSON can hold or raises ValueError with a sentence."""


MAX_SEEN: Final = 20_000
"""Jobs that one `geartrain.cancel` looks at: some milliseconds' worth."""
MAX_CANCELLED: Final = 1000
"""Jobs that one `geartrain.cancel` ends."""
STATES: Final = ("queued", "delayed", "all")


class Builtins:
    """The built-in functions of one broker. Others add theirs with `register`."""

    def __init__(self, jobs: Jobs, outboxes: Outboxes, ledger: Ledger) -> None:
        self._jobs = jobs
        self._outboxes = outboxes
        self._ledger = ledger
        self._functions: dict[bytes, Builtin] = {
            b"geartrain.outcome": self._outcome,
            b"geartrain.function.list": self._function_list,
            b"geartrain.function.set": self._function_set,
            b"geartrain.function.reset": self._function_reset,
            b"geartrain.dead.list": self._dead_list,
            b"geartrain.dead.show": self._dead_show,
            b"geartrain.dead.requeue": self._dead_requeue,
            b"geartrain.dead.drop": self._dead_drop,
            b"geartrain.cancel": self._cancel,
            b"geartrain.quarantine.list": self._quarantine_list,
            b"geartrain.quarantine.drop": self._quarantine_drop,
        }
        self.permits: Callable[[Peer, bytes], bool] | None = None
        """Whether a peer may know how the job with a handle ended; None without access rules."""

    def register(self, name: str, builtin: Builtin) -> None:
        """Add a function; its name begins with `geartrain.`."""
        self._functions[name.encode()] = builtin

    def knows(self, name: bytes) -> bool:
        """Whether the server does that function itself."""
        return name == b"geartrain.result" or name in self._functions

    def run(self, peer: Peer, handle: bytes, name: bytes, workload: bytes, background: bool) -> None:
        """Answer one job.

        Raises:
            Refused: in the background nobody would hear whether it was done.
        """
        if background:
            raise Refused(b"INVALID_ARGUMENT", name + b" answers at once: submit it in the foreground")
        self._outboxes.send(peer, response(p.JOB_CREATED, handle))
        changes = self._ledger.changes
        try:
            if len(workload) > MAX_QUESTION:
                raise ValueError(f"the workload is larger than {MAX_QUESTION} bytes")
            is_hidden = (
                name in _OF_A_JOB and self.permits is not None and not self.permits(peer, workload.strip())
            )
            if name == b"geartrain.result":
                if is_hidden:
                    raise _no_job(workload.strip())
                self._result(peer, handle, workload)
                return
            found = _unknown(workload.strip()) if is_hidden else self._functions[name](workload)
            answer = json.dumps(found).encode()
        except (ValueError, ArithmeticError, RecursionError) as error:
            self._outboxes.send_end(peer, EXCEPTION, handle, str(error).encode("utf-8", "backslashreplace"))
            return
        peer.asked_for += len(answer)
        self._ledger.answer(peer, handle, answer, changes)

    # Kept results

    def _result(self, peer: Peer, handle: bytes, workload: bytes) -> None:
        """End as the job ended whose handle is the workload, at once or when it does."""
        asked_for = workload.strip()
        outcome = self._jobs.results.get(asked_for, self._jobs.wall)
        if outcome is not None:
            peer.asked_for += len(outcome.data)
            self._outboxes.send_end(peer, outcome.kind, handle, outcome.data)
            return
        job = self._jobs.by_handle.get(asked_for)
        if job is None or job.cancelled:
            if job is not None or asked_for in self._jobs.dead:
                self._outboxes.send_end(peer, FAIL, handle, b"")
                return
            raise _no_job(asked_for)
        self._jobs.waiters.add(job, peer, handle)

    def _outcome(self, workload: bytes) -> Any:
        """`HANDLE` → what is known of the job now."""
        handle = workload.strip()
        outcome = self._jobs.results.get(handle, self._jobs.wall)
        if outcome is not None:
            return outcome.describe()
        job = self._jobs.by_handle.get(handle) or self._jobs.dead.get(handle)
        if job is None:
            return _unknown(handle)
        return self._describe(job)

    # Policies

    def _function_list(self, workload: bytes) -> Any:
        """Nothing → every function with its settings and numbers."""
        jobs = self._jobs
        dead: dict[bytes, int] = {}
        for job in jobs.dead.values():
            name = job.function.name
            dead[name] = dead.get(name, 0) + 1
        unusable = self._ledger.quarantine.of(policies.KIND)
        found: list[dict[str, Any]] = [
            {
                "function": _text(name),
                "total": function.total,
                "waiting": function.waiting,
                "running": function.running,
                "delayed": function.total - function.waiting - function.running,
                "dead": dead.get(name, 0),
                "workers": function.workers,
                "expired": function.expired,
                "settings": function.policy.settings(),
            }
            for name, function in sorted(jobs.functions.items())
        ] + [
            {
                "function": _text(name),
                **dict.fromkeys(("total", "waiting", "running", "delayed"), 0),
                "dead": dead.get(name, 0),
                "workers": 0,
                "expired": 0,
                "settings": jobs.functions.policies.get(name).settings(),
            }
            for name in jobs.functions.policies.names()
            if name not in jobs.functions
        ]
        for row in found:
            item = unusable.pop(row["function"], None)
            if item is not None:
                row["error"] = item.reason
        return found + [
            {
                "function": name,
                **dict.fromkeys(("total", "waiting", "running", "delayed", "dead", "workers", "expired"), 0),
                "settings": jobs.functions.policies.default.settings(),
                "error": item.reason,
            }
            for name, item in sorted(unusable.items())
        ]

    def _function_set(self, workload: bytes) -> Any:
        """`{"function": NAME, SETTING: VALUE, …}` → all its settings now. They outlive the server."""
        wanted = json_object(workload)
        name = _bytes(take_text(wanted, "function"))
        self._ledger.keep(self._jobs.functions.policies.set(name, wanted))
        return self._apply(name)

    def _function_reset(self, workload: bytes) -> Any:
        """`{"function": NAME}` → all its settings, which are those of the configuration again."""
        name = _bytes(take_text(json_object(workload), "function"))
        self._ledger.drop(policies.KIND, self._jobs.functions.policies.reset(name))
        return self._apply(name)

    def _apply(self, name: bytes) -> Any:
        self._jobs.functions.apply_policy(name)
        return {"function": _text(name), "settings": self._jobs.functions.policies.get(name).settings()}

    # Emptying queues

    def _cancel(self, workload: bytes) -> Any:
        """`{"function": NAME, "state": STATE, "unique": PATTERN, "after": NUMBER, "count": true}` → a slice.

        A function or a pattern for uniques (`*`, `?` and `[…]`) has to be named. The state is `queued`, which
        is the default, `delayed`, or `all`, running jobs included. The answer has how many jobs were
        cancelled, or would be with `count`, and the number to go on after; null when there are no more.
        """
        wanted = json_object(workload)
        matches = _matcher(wanted)
        after = wanted.get("after", -1)
        if not isinstance(after, int):
            raise ValueError(f"after: expected a whole number, got {after!r}")
        chosen: list[Job] = []
        last: int | None = None
        for seen, job in enumerate(self._jobs.by_handle.from_number(after + 1)):
            if seen == MAX_SEEN or len(chosen) == MAX_CANCELLED:
                break
            last = job.number
            if matches(job):
                chosen.append(job)
        else:
            last = None
        if wanted.get("count") is not True:
            for job in chosen:
                self._jobs.cancel(job.handle)
        return {"jobs": len(chosen), "after": last}

    # The dead

    def _dead_list(self, workload: bytes) -> Any:
        """`{"function": NAME, "limit": N}`, both optional → the dead jobs, oldest first."""
        wanted = json_object(workload)
        limit = wanted.get("limit", 100)
        if not isinstance(limit, int) or limit < 0:
            raise ValueError(f"limit: expected a whole number, got {limit!r}")
        found: list[Any] = []
        for job in self._dead(wanted):
            if len(found) == limit:
                break
            found.append(self._describe(job))
        return found

    def _dead_show(self, workload: bytes) -> Any:
        """`{"handle": HANDLE}` → one dead job with its workload and every attempt."""
        handle = take_text(json_object(workload), "handle")
        job = self._jobs.dead.get(_bytes(handle))
        if job is None:
            raise ValueError(f"{handle}: no dead job has this handle")
        found = self._describe(job)
        try:
            found["workload"] = job.workload.decode()
        except UnicodeDecodeError:
            found["workload_base64"] = base64.b64encode(job.workload).decode()
        return found

    def _dead_requeue(self, workload: bytes) -> Any:
        """`{"handle": …}`, `{"function": …}` or `{"all": true}` → how many were queued again."""
        return {"requeued": sum(map(self._jobs.requeue_dead, self._chosen_dead(workload)))}

    def _dead_drop(self, workload: bytes) -> Any:
        """`{"handle": …}`, `{"function": …}` or `{"all": true}` → how many were forgotten."""
        return {"dropped": sum(map(self._jobs.drop_dead, self._chosen_dead(workload)))}

    def _chosen_dead(self, workload: bytes) -> list[bytes]:
        wanted = json_object(workload)
        if "handle" in wanted:
            handle = _bytes(take_text(wanted, "handle"))
            if handle not in self._jobs.dead:
                raise ValueError(f"{_text(handle)}: no dead job has this handle")
            return [handle]
        if "function" not in wanted and wanted.get("all") is not True:
            raise ValueError("name a 'handle', a 'function', or say 'all'")
        return [job.handle for job in self._dead(wanted)]

    def _dead(self, wanted: dict[str, Any]) -> Iterable[Job]:
        jobs = list(self._jobs.dead.values())
        if "function" not in wanted:
            return jobs
        name = _bytes(take_text(wanted, "function"))
        return [job for job in jobs if job.function.name == name]

    # Stored items that can't be used

    def _quarantine_list(self, workload: bytes) -> Any:
        """`{"limit": N}`, optional → the stored items that can't be used, with the reasons."""
        limit = json_object(workload).get("limit", 100)
        if not isinstance(limit, int) or limit < 0:
            raise ValueError(f"limit: expected a whole number, got {limit!r}")
        return [
            {"kind": item.kind, "key": item.key, "reason": item.reason}
            for item in islice(self._ledger.quarantine.values(), limit)
        ]

    def _quarantine_drop(self, workload: bytes) -> Any:
        """`{"kind": KIND, "key": KEY}` → which one was removed from the journal."""
        wanted = json_object(workload)
        kind, key = take_text(wanted, "kind"), take_text(wanted, "key")
        if self._ledger.quarantine.get(kind, key) is None:
            raise ValueError(f"no {kind} {key!r} is in quarantine")
        if kind == "job":
            self._jobs.drop_dead(_bytes(key))
        else:
            self._ledger.drop(kind, key)
        return {"dropped": {"kind": kind, "key": key}}

    def _describe(self, job: Job) -> dict[str, Any]:
        if job.handle in self._jobs.dead:
            state = "dead"
        elif job.worker is not None:
            state = "running"
        else:
            state = "queued" if job.queued else "delayed"
        return {
            "handle": _text(job.handle),
            "function": _text(job.function.name),
            "unique": _text(job.unique),
            "state": state,
            "numerator": job.numerator,
            "denominator": job.denominator,
            "attempts": job.attempts,
            "due": job.due,
            "queued_at": job.queued_at,
            "started_at": job.started_at,
            "history": [{"time": time, "reason": reason} for time, reason in job.history or []],
        }


def _no_job(handle: bytes) -> ValueError:
    return ValueError(f"{handle.decode('utf-8', 'replace')}: no job or kept result has this handle")


def _unknown(handle: bytes) -> dict[str, Any]:
    return {"handle": handle.decode("utf-8", "replace"), "state": "unknown"}


def _matcher(wanted: dict[str, Any]) -> Callable[[Job], bool]:
    """Return what says of a job whether it is meant.

    Raises:
        ValueError: it can't be told which jobs are.
    """
    state = wanted.get("state", "queued")
    if state not in STATES:
        raise ValueError(f"state: expected one of {', '.join(STATES)}, got {state!r}")
    if "function" not in wanted and "unique" not in wanted:
        raise ValueError("name a 'function' or a pattern for the 'unique'")
    function = _bytes(take_text(wanted, "function")) if "function" in wanted else b""
    pattern = re.compile(translate(take_text(wanted, "unique"))) if "unique" in wanted else None

    def matches(job: Job) -> bool:
        if job.cancelled or (function and job.function.name != function):
            return False
        if state != "all" and (job.worker is not None or job.queued != (state == "queued")):
            return False
        return pattern is None or pattern.match(_text(job.unique)) is not None

    return matches


def json_object(workload: bytes) -> dict[str, Any]:
    """A workload that is a JSON object; an empty one is an empty object."""
    try:
        found = json.loads(workload or b"{}")
    except (ValueError, RecursionError):
        raise ValueError("the workload is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("the workload is not a JSON object")
    return found


def take_text(wanted: dict[str, Any], key: str) -> str:
    """Take out what is said under a key; it has to be some text."""
    value = wanted.pop(key, None)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key!r} is missing")
    return value


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
