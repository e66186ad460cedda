"""What a worker says on one connection: abilities, grabbing, sleeping, the ends of jobs. No I/O.

A connection is in one of three states, and only the worker's side decides which:

    ASLEEP     the server has promised a NOOP as soon as it has a job for us
    AWAKE      nothing is agreed: we may grab, and nobody wakes us
    GRABBING   a grab is on its way, and its answer may be a job

    ASLEEP   --- NOOP --------------------------------> AWAKE
    AWAKE    --- grab() ------------------------------> GRABBING
    GRABBING --- JOB_ASSIGN*: a job ------------------> AWAKE
    GRABBING --- NO_JOB, answered with PRE_SLEEP -----> ASLEEP
    AWAKE    --- end() of a job, together with a grab -> GRABBING, or with PRE_SLEEP -> ASLEEP

A new connection begins ASLEEP. A server that accepts connections but does not answer (a stopped process, a
machine that is gone) therefore never has a grab of ours to hold up the jobs of other servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from ...errors import ProtocolError
from ...wire import packets as p
from ...wire.codec import arguments, request
from ...wire.packets import name_of
from ...wire.parser import MAX_PACKET, Oversized, Parser, read_oversized
from ...wire.text import text_of
from ..functions import Function

ASLEEP: Final = 0
AWAKE: Final = 1
GRABBING: Final = 2

# What a grab is written as, the most telling first: with _ALL a job comes with its unique and its reducer,
# with _UNIQ with its unique. A server that does not know the one is asked with the next.
_GRABS: Final = (request(p.GRAB_JOB_ALL), request(p.GRAB_JOB_UNIQ), request(p.GRAB_JOB))
_PRE_SLEEP: Final = request(p.PRE_SLEEP)
PROBE: Final = request(p.ECHO_REQ, b"geartrain")
"""Asks a server for a sign of life."""

# How servers name a packet that they do not know: gearmand and ours, and Gearman::Server.
_UNKNOWN_PACKET: Final = (b"INVALID_COMMAND", b"server_error", b"unknown_command")

_JOB_NOT_FOUND: Final = b"JOB_NOT_FOUND"

MOST_ASIDE: Final = 16
"""Jobs at most that end without a grab behind them, after grabs behind a job's end were in vain."""

_log = structlog.get_logger("geartrain.worker")


class Assignment:
    """A job as the server assigned it; `unique` and `reducer` are empty where the packet has no place."""

    __slots__ = ("function", "handle", "reducer", "unique", "workload")

    def __init__(
        self, handle: bytes, function: bytes, unique: bytes, reducer: bytes, workload: bytes
    ) -> None:
        self.handle = handle
        self.function = function
        self.unique = unique
        self.reducer = reducer
        self.workload = workload


class Engine:
    """The protocol on one connection to a job server, and on the next one when that broke.

    Args:
        server: the server's address, for the log.
        client_id: what the server lists this worker as; nothing is sent if it is empty.
        token: what it is sent for its access rules; nothing is sent if it is empty.
        max_packet: bytes of a packet that are taken at most.
    """

    def __init__(
        self, server: str, client_id: bytes = b"", token: bytes = b"", max_packet: int = MAX_PACKET
    ) -> None:
        self.state = ASLEEP
        self.reply = b""
        """What the last bytes that were received have to be answered with."""
        self.running: set[bytes] = set()
        """The handles of the jobs that were assigned and have not ended."""
        self.disowned: set[bytes] = set()
        """Those of them that are not ours any more, as the server said: their time was over."""
        self.announced: Mapping[bytes, Function] = {}
        """The functions that the server knows of."""
        self.server = server
        self._client_id = client_id
        self._token = token
        self._max_packet = max_packet
        self._parser = Parser(p.RESPONSE, max_packet)
        # Which grab the server understands. Each connection tries anew: another server may be there now.
        self._grab = 0
        self._grab_is_known = False
        # The next grab goes out with the end of a job: another waits, or the server holds the grab until one
        # comes in a moment. Where it was in vain the next job ends in going to sleep instead, which saves a
        # grab for nothing, and each further time twice as many do.
        self._aside = 0
        self._next_aside = 1
        self._grabbed_ahead = False
        # How many jobs have ended on this connection, and how many of the ends, with all that was said of
        # their jobs before, the server had read when it answered last.
        self._ends = 0
        self._ends_before_grab = 0
        self._ends_read = 0

    # What to write

    def connected(self, functions: Mapping[bytes, Function]) -> bytes:
        """A new connection is up; returns what to greet the server with."""
        self.state = ASLEEP
        self.reply = b""
        self.running = set()
        self.disowned = set()
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
        """The functions have changed; returns what makes the server know it. Not while GRABBING."""
        changes = self._differences(functions)
        # A sleeper is woken for jobs that come, not for those that waited before it announced their function.
        return changes + _PRE_SLEEP if changes and self.state == ASLEEP else changes

    def grab(self) -> bytes:
        """Ask for a job."""
        self.state = GRABBING
        self._grabbed_ahead = False
        self._ends_before_grab = self._ends
        return _GRABS[self._grab]

    def follow(self) -> bytes:
        """What to write together with the end of a job if this server's next job may come at once."""
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
        """Whether a grab is out behind a job's end, and the last one like it was not in vain."""
        return self._grabbed_ahead and self._next_aside == 1

    def ended(self, handle: bytes) -> bool:
        """A job has ended; returns whether the server is to be told: not if it was told already.

        It is told of the end of a disowned job, too: one too many does no harm, the server refuses it.
        """
        try:
            self.running.remove(handle)  # in one step: a watch may have it ended from another thread
        except KeyError:
            return False
        self.disowned.discard(handle)
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

    # What was read

    def receive(self, data: bytes) -> Assignment | None:
        """Take bytes from the server, and return the job if they assign one. Look at `reply` afterwards.

        Raises:
            ProtocolError: a job server does not send such bytes.
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
            raise ProtocolError("a job was assigned that nobody asked for")
        self.state = AWAKE
        self.running.add(handle)
        self.disowned.discard(handle)
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
            self._next_aside = min(2 * self._aside, MOST_ASIDE)
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
        """Something was said of a job that is not ours any more; the error does not tell of which.

        The server answers in turn. So it is about the only job in hand if the end of every other one had been
        read before. Else it may be about one of those; if another error comes behind this probe, it is not.
        """
        if len(self.running) != 1:
            return
        if self._ends_read == self._ends:
            self.disowned = set(self.running)
        else:
            self.reply += request(p.ECHO_REQ, b"%d" % self._ends)
