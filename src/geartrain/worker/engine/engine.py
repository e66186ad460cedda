"""The worker's side of the protocol on one connection: abilities, grabbing, sleeping, ends of jobs. No I/O.

A connection is in one of three states. Only the worker's side decides which:

    ASLEEP     the server has promised a NOOP as soon as it has a job for us
    AWAKE      the worker may grab; the server sends no NOOP
    GRABBING   a grab is outstanding, and its answer may be a job

    ASLEEP   --- NOOP --------------------------------> AWAKE
    AWAKE    --- grab() ------------------------------> GRABBING
    GRABBING --- JOB_ASSIGN*: a job ------------------> AWAKE
    GRABBING --- NO_JOB, answered with PRE_SLEEP -----> ASLEEP
    AWAKE    --- end() of a job, together with a grab -> GRABBING, or with PRE_SLEEP -> ASLEEP

A new connection begins ASLEEP. A server that accepts connections and does not answer (a stopped process, a
machine that is gone) therefore never has a grab that delays the jobs of other servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from ...errors import ProtocolError
from ...wire import packets as p
from ...wire.codec import arguments, request, request_head
from ...wire.packets import name_of
from ...wire.parser import MAX_PACKET, Oversized, Parser, read_oversized
from ...wire.text import text_of
from ..functions import Function

ASLEEP: Final = 0
AWAKE: Final = 1
GRABBING: Final = 2

# Grabs, the most informative first: with _ALL a job comes with its unique and its reducer, with _UNIQ with
# its unique. A server that refuses one as unknown is asked with the next.
_GRABS: Final = (request(p.GRAB_JOB_ALL), request(p.GRAB_JOB_UNIQ), request(p.GRAB_JOB))
_PRE_SLEEP: Final = request(p.PRE_SLEEP)
PROBE: Final = request(p.ECHO_REQ, b"geartrain")
"""Packet that asks a server for a sign of life."""

# Codes for an unknown packet: of gearmand and ours, and of Gearman::Server.
_UNKNOWN_PACKET: Final = (b"INVALID_COMMAND", b"server_error", b"unknown_command")

_JOB_NOT_FOUND: Final = b"JOB_NOT_FOUND"

MAX_ASIDE: Final = 16
"""Most jobs in a row that end with PRE_SLEEP, after grabs behind a job's end found nothing."""

_log = structlog.get_logger("geartrain.worker")


def job_packet(type: int, handle: bytes, body: bytes | None) -> bytes:
    """Return a packet about a job; without a body it is its handle alone."""
    if body is None:
        return request_head(type, len(handle)) + handle
    return b"%b%b\0%b" % (request_head(type, len(handle) + 1 + len(body)), handle, body)


class Assignment:
    """An assigned job. `unique` and `reducer` are empty where the packet has none."""

    __slots__ = ("function", "handle", "reducer", "unique", "workload")

    def __init__(
        self, handle: bytes, function: bytes, unique: bytes, reducer: bytes, workload: bytes
    ) -> None:
        self.handle = handle
        self.function = function
        self.unique = unique
        self.reducer = reducer
        self.workload = workload


class WorkerEngine:
    """The protocol on one connection to a job server, and on the next one after a loss.

    Args:
        server: address of the server, for the log.
        client_id: name of this worker in the server's list; empty: none is sent.
        token: token for the server's access rules; empty: none is sent.
        max_packet: limit for a packet's body in bytes.
    """

    def __init__(
        self, server: str, client_id: bytes = b"", token: bytes = b"", max_packet: int = MAX_PACKET
    ) -> None:
        self.state = ASLEEP
        self.reply = b""
        """Answer to the last received bytes; the shell sends it."""
        self.running: set[bytes] = set()
        """Handles of the jobs that were assigned and have not ended."""
        self.revoked: set[bytes] = set()
        """Running jobs that the server has taken away: their time was over."""
        self.announced: Mapping[bytes, Function] = {}
        """Functions announced to the server."""
        self.server = server
        self._client_id = client_id
        self._token = token
        self._max_packet = max_packet
        self._parser = Parser(p.RESPONSE, max_packet)
        # Index of the grab that the server knows. Each connection begins with the first: another server may
        # be there now.
        self._grab = 0
        self._grab_is_known = False
        # The next grab goes out with the end of a job: the server answers it, or holds it for a moment. After
        # one that found nothing the next job ends with PRE_SLEEP instead, and each further time twice as
        # many.
        self._aside = 0
        self._next_aside = 1
        self._grabbed_ahead = False
        # Ends of jobs sent on this connection, and those that the server had read at its last answer.
        self._ends = 0
        self._ends_before_grab = 0
        self._ends_read = 0

    # Sending

    def connected(self, functions: Mapping[bytes, Function]) -> bytes:
        """Begin a new connection; return the bytes to greet the server with."""
        self.state = ASLEEP
        self.reply = b""
        self.running = set()
        self.revoked = set()
        self._ends = self._ends_before_grab = self._ends_read = 0
        self.announced = {}
        self._parser = Parser(p.RESPONSE, self._max_packet)
        self._grabbed_ahead = False
        self._aside = 0
        self._next_aside = 1
        self._grab = 0
        self._grab_is_known = False
        name = request(p.SET_CLIENT_ID, self._client_id) if self._client_id else b""
        token = request(p.OPTION_REQ, b"token=" + self._token) if self._token else b""
        return token + name + self._differences(functions) + PROBE + _PRE_SLEEP

    def announce(self, functions: Mapping[bytes, Function]) -> bytes:
        """Return the packets that announce changed functions. Not while GRABBING."""
        changes = self._differences(functions)
        # gearmand wakes a sleeper for new jobs, not for jobs that waited before the announcement.
        return changes + _PRE_SLEEP if changes and self.state == ASLEEP else changes

    def grab(self) -> bytes:
        """Return a grab."""
        self.state = GRABBING
        self._grabbed_ahead = False
        self._ends_before_grab = self._ends
        return _GRABS[self._grab]

    def follow(self) -> bytes:
        """Return the packet to send with the end of a job: a grab, or PRE_SLEEP where grabs were in vain."""
        if self._aside:
            self._aside -= 1
            self.state = ASLEEP
            return _PRE_SLEEP
        self.state = GRABBING
        self._grabbed_ahead = True
        self._ends_before_grab = self._ends
        return _GRABS[self._grab]

    @property
    def next_job_is_near(self) -> bool:
        """Whether a grab behind a job's end is outstanding, and the last one like it brought a job."""
        return self._grabbed_ahead and self._next_aside == 1

    def ended(self, handle: bytes) -> bool:
        """Note the end of a job; return whether it has to be sent: false if it was sent before.

        The end of a revoked job is sent, too. The server refuses a superfluous one.
        """
        try:
            self.running.remove(handle)  # in one step: the watchdog may end it from another thread
        except KeyError:
            return False
        self.revoked.discard(handle)
        self._ends += 1
        return True

    def _differences(self, functions: Mapping[bytes, Function]) -> bytes:
        known = self.announced
        parts = [request(p.CANT_DO, name) for name in known if name not in functions]
        for name, function in functions.items():
            if name in known and known[name].timeout == function.timeout:
                continue
            if function.timeout is None:
                parts.append(request(p.CAN_DO, name))
            else:
                parts.append(request(p.CAN_DO_TIMEOUT, b"%b\0%d" % (name, function.timeout_ms)))
        self.announced = functions
        return b"".join(parts)

    # Receiving

    def receive(self, data: bytes) -> Assignment | None:
        """Handle bytes from the server; return the job if they assign one. Send `reply` afterwards.

        Raises:
            ProtocolError: no job server sends such bytes.
        """
        assignment: Assignment | None = None
        for type, body in self._parser.feed(data):
            if type == p.JOB_ASSIGN_UNIQ:
                handle, function, unique, workload = arguments(type, body)
                assignment = self._assigned(handle, function, unique, b"", workload)
            elif type == p.NO_JOB:
                self._no_job()
            elif type == p.NOOP:
                if self.state == ASLEEP:
                    self.state = AWAKE
            elif type == p.JOB_ASSIGN_ALL:
                assignment = self._assigned(*arguments(type, body))
            elif type == p.JOB_ASSIGN:
                handle, function, workload = arguments(type, body)
                assignment = self._assigned(handle, function, b"", b"", workload)
            elif type == p.ERROR:
                self._error(*arguments(type, body))
            elif type == p.ECHO_RES:
                if body.isdigit():  # one of `_job_not_found`
                    self._ends_read = int(body)
            elif type == p.OVERSIZED:
                self._refuse(read_oversized(body))
            elif type != p.OPTION_RES:
                what = "text" if type == p.TEXT else name_of(type)
                raise ProtocolError(f"this is no job server: it sent a worker {what}")
        return assignment

    def _assigned(
        self, handle: bytes, function: bytes, unique: bytes, reducer: bytes, workload: bytes
    ) -> Assignment:
        if self.state != GRABBING:
            raise ProtocolError("a job was assigned without a grab")
        self.state = AWAKE
        self.running.add(handle)
        self.revoked.discard(handle)
        self._grab_is_known = True
        self._ends_read = self._ends_before_grab
        if self._grabbed_ahead:
            self._grabbed_ahead = False
            self._next_aside = 1
        return Assignment(handle, function, unique, reducer, workload)

    def _refuse(self, packet: Oversized) -> None:
        """End a job whose workload is over this worker's limit; given back it would only come again."""
        job = self._assigned(packet.handle, b"", b"", b"", b"")
        sentence = packet.sentence("the worker's")
        _log.warning("a job was refused", server=self.server, handle=text_of(job.handle), reason=sentence)
        self.ended(job.handle)
        self.reply += request(p.WORK_EXCEPTION, b"%b\0%b" % (job.handle, sentence.encode()))

    def _no_job(self) -> None:
        self._grab_is_known = True
        self._ends_read = self._ends_before_grab
        if self._grabbed_ahead:
            self._grabbed_ahead = False
            self._aside = self._next_aside
            self._next_aside = min(2 * self._aside, MAX_ASIDE)
        if self.state == GRABBING:
            self.state = ASLEEP
            self.reply += _PRE_SLEEP

    def _error(self, code: bytes, text: bytes) -> None:
        grab_may_be_unknown = self.state == GRABBING and not self._grab_is_known
        if grab_may_be_unknown and code in _UNKNOWN_PACKET and self._grab + 1 < len(_GRABS):
            self._grab += 1
            self.reply += _GRABS[self._grab]
            return
        if code == _JOB_NOT_FOUND:
            self._job_not_found()
        _log.warning("error from the job server", server=self.server, code=text_of(code), text=text_of(text))

    def _job_not_found(self) -> None:
        """Handle an error about a job that the server has taken away. The error does not name the job.

        The server answers in order. So the error is about the only running job if the server had read the end
        of every other one before. Otherwise a probe goes out, and a second error behind it is about the
        running job.
        """
        if len(self.running) != 1:
            return
        if self._ends_read == self._ends:
            self.revoked = set(self.running)
        else:
            self.reply += request(p.ECHO_REQ, b"%d" % self._ends)
