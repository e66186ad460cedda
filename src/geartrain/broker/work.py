"""What a worker says: what it can do, that it wants a job, and how its jobs go on and end."""

from __future__ import annotations

from typing import Final

from ..wire import packets as p
from ..wire.codec import arguments, leading_int, response, response_head
from ..wire.parser import Oversized
from .dispatch import Dispatch
from .handles import Handles
from .jobs import Jobs
from .limits import Limits, Refused
from .outbox import LARGE, Outboxes
from .results import COMPLETE, EXCEPTION, FAIL
from .state import Function, Peer

SHORTEST_TIMEOUT: Final = 1.0
"""Seconds that a worker may give itself for a job at least, as in gearmand."""

_ENDS: Final[dict[int, str]] = {p.WORK_COMPLETE: COMPLETE, p.WORK_FAIL: FAIL, p.WORK_EXCEPTION: EXCEPTION}


class Work:
    """Serves workers. Each of its methods for a packet raises `Refused` to have it answered with ERROR."""

    def __init__(
        self, jobs: Jobs, dispatch: Dispatch, outboxes: Outboxes, handles: Handles, limits: Limits
    ) -> None:
        self._jobs = jobs
        self._dispatch = dispatch
        self._outboxes = outboxes
        self._handles = handles
        self._limits = limits
        dispatch.give = self._assign

    def pre_sleep(self, peer: Peer, type: int, body: bytes) -> None:
        """PRE_SLEEP: it is woken when a job comes, at once if one waits."""
        self._dispatch.sleep(peer)

    def grab(self, peer: Peer, type: int, body: bytes) -> None:
        """GRAB_JOB, GRAB_JOB_UNIQ and GRAB_JOB_ALL: the next job, or NO_JOB after a moment."""
        dispatch = self._dispatch
        peer.sleeping = False
        woken_for = peer.woken_for
        if woken_for is not None:
            dispatch.settle(peer)
        function = dispatch.choose(peer)
        if function is None:
            dispatch.patience.wait(peer, type)
        else:
            self._assign(peer, function, type)
        if woken_for is not None:
            # It may have been woken for one thing and have taken another.
            dispatch.rebalance(woken_for)

    def _assign(self, peer: Peer, function: Function, type: int) -> None:
        """Give a grabbing worker the function's next job."""
        peer.had_job = True
        job = self._jobs.assign(peer, function)
        workload = job.workload
        # What is small is written in one piece, what is large goes on from where it is.
        is_large = len(workload) >= LARGE
        last = b"" if is_large else workload
        if type == p.GRAB_JOB:
            kind = p.JOB_ASSIGN
            told = b"%b\0%b\0%b" % (job.handle, function.name, last)
        elif type == p.GRAB_JOB_ALL and job.reducer:
            kind = p.JOB_ASSIGN_ALL
            told = b"%b\0%b\0%b\0%b\0%b" % (job.handle, function.name, job.unique, job.reducer, last)
        else:
            kind = p.JOB_ASSIGN_UNIQ
            told = b"%b\0%b\0%b\0%b" % (job.handle, function.name, job.unique, last)
        if not is_large:
            self._outboxes.send(peer, response(kind, told))
        else:
            self._outboxes.send(peer, response_head(kind, len(told) + len(workload)) + told)
            self._outboxes.send(peer, workload)

    def end(self, peer: Peer, type: int, body: bytes) -> None:
        """WORK_COMPLETE, WORK_FAIL and WORK_EXCEPTION: tell the clients, forget the job."""
        # Handles are nearly always of one length, so that none has to be looked for its end.
        length = self._handles.length
        handle = body[:length]
        job = peer.running.get(handle) if len(body) > length and not body[length] else None
        if job is None:
            if type != p.WORK_FAIL:
                body = _with_last_argument(body)
            handle = body if type == p.WORK_FAIL else arguments(type, body)[0]
            job = peer.running.get(handle)
            if job is None and peer.timed_out:
                job = self._jobs.take_late(peer, handle)
        if job is None:
            raise Refused(
                b"JOB_NOT_FOUND",
                b"An exception was received for a job that does not exist"
                if type == p.WORK_EXCEPTION
                else b"Job given in work result not found",
            )
        clients = job.clients
        if type == p.WORK_EXCEPTION:
            failed = response(p.WORK_FAIL, handle)
            for client in clients:
                if not client.wants_exceptions:
                    self._outboxes.send(client, failed)
            clients = [client for client in clients if client.wants_exceptions]
        if clients:
            self._outboxes.pass_on(peer, clients, type, body)
        self._jobs.end(job, _ENDS[type], body)

    def oversized(self, peer: Peer, packet: Oversized) -> None:
        """A packet about a job was over the limit: the job fails, with a sentence that names both sizes."""
        job = peer.running.get(packet.handle) or self._jobs.take_late(peer, packet.handle)
        if job is None:
            raise Refused(b"JOB_NOT_FOUND", b"Job given in work result not found")
        if job.cancelled:
            if packet.type in _ENDS:
                self._jobs.end(job, FAIL, packet.handle)
            return
        self._jobs.fail(job, packet.sentence("the server's"))

    def event(self, peer: Peer, type: int, body: bytes) -> None:
        """WORK_DATA and WORK_WARNING: pass them to the clients."""
        body = _with_last_argument(body)
        handle = arguments(type, body)[0]
        job = peer.running.get(handle) or self._jobs.waits_at(peer, handle)
        if job is None:
            raise Refused(b"JOB_NOT_FOUND", b"Job does not exist on server")
        if job.clients:
            self._outboxes.pass_on(peer, job.clients, type, body)

    def status(self, peer: Peer, type: int, body: bytes) -> None:
        """WORK_STATUS: remember it, and pass it to the clients."""
        handle, numerator, denominator = arguments(type, body)
        job = peer.running.get(handle) or self._jobs.waits_at(peer, handle)
        if job is None:
            raise Refused(b"JOB_NOT_FOUND", b"Job given in work result not found")
        job.numerator = leading_int(numerator)
        job.denominator = leading_int(denominator)
        if job.clients:
            self._outboxes.pass_on(peer, job.clients, type, body)

    # Abilities

    def can_do(self, peer: Peer, type: int, body: bytes) -> None:
        """CAN_DO: a function without a time limit."""
        self._announce(peer, body, 0.0)

    def can_do_timeout(self, peer: Peer, type: int, body: bytes) -> None:
        """CAN_DO_TIMEOUT: a function whose jobs may take that long."""
        # Milliseconds and one second at least, as gearmand has it; the protocol's page says seconds.
        name, milliseconds = arguments(type, body)
        timeout = leading_int(milliseconds) / 1000
        timeout = max(timeout, SHORTEST_TIMEOUT) if timeout > 0 else 0.0
        self._announce(peer, name, timeout)

    def _announce(self, peer: Peer, name: bytes, timeout: float) -> None:
        most = self._limits.max_abilities
        if most and len(peer.abilities) >= most and name not in peer.abilities:
            raise Refused(b"LIMIT_REACHED", b"A worker may not announce so many functions")
        self._dispatch.announce(peer, self._jobs.functions.known(name), timeout)

    def cant_do(self, peer: Peer, type: int, body: bytes) -> None:
        """CANT_DO: a function less."""
        self._dispatch.withdraw(peer, body)

    def reset_abilities(self, peer: Peer, type: int, body: bytes) -> None:
        """RESET_ABILITIES: no function any more."""
        self._dispatch.withdraw_all(peer)


def _with_last_argument(body: bytes) -> bytes:
    """What is told about a job, after its handle; Perl's Gearman::Worker leaves what is empty out."""
    return body if b"\0" in body else body + b"\0"
