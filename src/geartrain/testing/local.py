"""What answers an eager client instead of a job server: it remembers jobs and finds who does them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ..signature import signature_of
from ..wire import packets as p
from ..wire.codec import arguments, bytes_of, response
from ..wire.parser import Parser
from ..worker import Job, Worker
from ..worker.functions import Function
from ..worker.hooks import Hooks
from ..worker.outcome import Outcome

Reply = Callable[[bytes], None]
"""Takes a packet for the client."""

_SUBMISSIONS: Final = {
    p.SUBMIT_JOB: ("normal", False),
    p.SUBMIT_JOB_BG: ("normal", True),
    p.SUBMIT_JOB_HIGH: ("high", False),
    p.SUBMIT_JOB_HIGH_BG: ("high", True),
    p.SUBMIT_JOB_LOW: ("low", False),
    p.SUBMIT_JOB_LOW_BG: ("low", True),
    p.SUBMIT_JOB_EPOCH: ("normal", True),
}


@dataclass(frozen=True)
class SubmittedJob:
    """A job as it was submitted."""

    function: str
    """The function's name, the client's prefix included."""
    workload: bytes
    unique: str = ""
    priority: str = "normal"
    background: bool = False
    at: datetime | None = None
    """The time before which it is not to run, in UTC."""


class Assigned(NamedTuple):
    """A job that is to be run now, with what, and who is to be told of its end."""

    function: Function
    job: Job
    hooks: Hooks
    reply: Reply


class Local:
    """A job server and workers in one, without a socket, for one client.

    Args:
        workers: whose functions are run. Background jobs of other functions are only remembered; foreground
            ones get the answer that was set for their function, or are refused with NO_WORKER.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.jobs: list[SubmittedJob] = []
        self._workers = workers
        self._answers: dict[bytes, bytes] = {}
        self._parser = Parser(p.REQUEST)
        self._exceptions = False

    def answer(self, function: str | Callable[..., Any], value: Any, prefix: bytes) -> None:
        """Answer the jobs of a function that no worker has."""
        if isinstance(function, str):
            name, result = function, bytes_of(value)
        else:
            signature = signature_of(function)
            name, result = signature.name, signature.codec.encode(value)
        self._answers[prefix + name.encode()] = result

    def calls(self, function: Callable[..., Any], prefix: bytes) -> list[dict[str, Any]]:
        """The arguments of each job of a typed function that was submitted, by name."""
        signature = signature_of(function)
        name = prefix.decode() + signature.name
        return [signature.named(job.workload) for job in self.jobs if job.function == name]

    def take(self, data: bytes, reply: Reply) -> list[Assigned]:
        """Answer what a client sent; returns the jobs that are to be run."""
        assigned: list[Assigned] = []
        for type, body in self._parser.feed(data):
            if type in _SUBMISSIONS:
                assigned += self._submitted(type, body, reply)
            elif type == p.OPTION_REQ:
                self._exceptions = self._exceptions or body == b"exceptions"
                reply(response(p.OPTION_RES, body))
            elif type == p.ECHO_REQ:
                reply(response(p.ECHO_RES, body))
            elif type == p.GET_STATUS:
                # What was submitted is done by now.
                reply(response(p.STATUS_RES, body + b"\x000" * 4))
            elif type == p.GET_STATUS_UNIQUE:
                reply(response(p.STATUS_RES_UNIQUE, body + b"\x000" * 5))
        return assigned

    def ended(self, assigned: Assigned, outcome: Outcome) -> None:
        """A job was run: tell its client."""
        type, body = outcome
        if type == p.WORK_EXCEPTION and not self._exceptions:
            type, body = p.WORK_FAIL, None
        handle = assigned.job.handle.encode()
        assigned.reply(response(type, handle if body is None else handle + b"\0" + body))

    def _submitted(self, type: int, body: bytes, reply: Reply) -> list[Assigned]:
        name, unique, *epoch, workload = arguments(type, body)
        priority, background = _SUBMISSIONS[type]
        text, at = unique.decode(), datetime.fromtimestamp(int(epoch[0]), UTC) if epoch else None
        self.jobs.append(SubmittedJob(name.decode(), workload, text, priority, background, at))
        handle = b"H:local:%d" % len(self.jobs)
        owner = next((worker for worker in self._workers if name in worker._functions.table), None)
        if owner is None and not background and name not in self._answers:
            sentence = f"no worker here has the function {name.decode()!r}, and no answer was set for it"
            reply(response(p.ERROR, b"NO_WORKER\0" + sentence.encode()))
            return []
        reply(response(p.JOB_CREATED, handle))
        if owner is not None:
            function = owner._functions.table[name]
            # Nobody is told of a background job.
            told = _nobody if background else reply
            job = Job(function.name, workload, handle, unique, b"", Events(told))
            return [Assigned(function, job, owner._hooks, told)]
        if not background:
            reply(response(p.WORK_COMPLETE, handle + b"\0" + self._answers[name]))
        return []


class Events:
    """Where the events of a running job go: to its client, at once."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def send_event(self, type: int, handle: bytes, body: bytes) -> None:
        """Send a packet about the job."""
        self._reply(response(type, handle + b"\0" + body))

    async def drain(self) -> None:
        """Nothing is ever on its way."""

    def send_end_from_outside(self, type: int, handle: bytes, body: bytes) -> None:
        """Nobody watches over a job that its caller runs."""


def _nobody(packet: bytes) -> None:
    pass
