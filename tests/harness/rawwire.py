"""A test's own end of a Gearman connection: raw packets and lines, and nothing of geartrain in it.

It reads exactly what is on the wire, so that a fault in our own codec can't hide itself. What was expected
and did not come raises `WireMismatchError`, which names both.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import time
from enum import IntEnum
from types import EllipsisType, TracebackType
from typing import Final, NamedTuple, Self

REQ: Final = b"\0REQ"
RES: Final = b"\0RES"
HEADER_SIZE: Final = 12
TIMEOUT: Final = 10.0
"""Seconds that an answer may take unless told otherwise; only a failing test waits as long."""
SHOWN_BYTES: Final = 100
"""Bytes of an argument that a message shows."""

_CHUNK: Final = 256 * 1024
_tokens = itertools.count(1)


class Packet(IntEnum):
    """Every packet type of the protocol. Type 5 was never given out."""

    CAN_DO = 1
    CANT_DO = 2
    RESET_ABILITIES = 3
    PRE_SLEEP = 4
    NOOP = 6
    SUBMIT_JOB = 7
    JOB_CREATED = 8
    GRAB_JOB = 9
    NO_JOB = 10
    JOB_ASSIGN = 11
    WORK_STATUS = 12
    WORK_COMPLETE = 13
    WORK_FAIL = 14
    GET_STATUS = 15
    ECHO_REQ = 16
    ECHO_RES = 17
    SUBMIT_JOB_BG = 18
    ERROR = 19
    STATUS_RES = 20
    SUBMIT_JOB_HIGH = 21
    SET_CLIENT_ID = 22
    CAN_DO_TIMEOUT = 23
    ALL_YOURS = 24
    WORK_EXCEPTION = 25
    OPTION_REQ = 26
    OPTION_RES = 27
    WORK_DATA = 28
    WORK_WARNING = 29
    GRAB_JOB_UNIQ = 30
    JOB_ASSIGN_UNIQ = 31
    SUBMIT_JOB_HIGH_BG = 32
    SUBMIT_JOB_LOW = 33
    SUBMIT_JOB_LOW_BG = 34
    SUBMIT_JOB_SCHED = 35
    SUBMIT_JOB_EPOCH = 36
    SUBMIT_REDUCE_JOB = 37
    SUBMIT_REDUCE_JOB_BACKGROUND = 38
    GRAB_JOB_ALL = 39
    JOB_ASSIGN_ALL = 40
    GET_STATUS_UNIQUE = 41
    STATUS_RES_UNIQUE = 42


# How many arguments the packets carry that a job server sends; the last one may hold NULs.
_RESPONSE_ARGUMENTS: Final[dict[int, int]] = {
    Packet.NOOP: 0,
    Packet.JOB_CREATED: 1,
    Packet.NO_JOB: 0,
    Packet.JOB_ASSIGN: 3,
    Packet.WORK_STATUS: 3,
    Packet.WORK_COMPLETE: 2,
    Packet.WORK_FAIL: 1,
    Packet.ECHO_RES: 1,
    Packet.ERROR: 2,
    Packet.STATUS_RES: 5,
    Packet.WORK_EXCEPTION: 2,
    Packet.OPTION_RES: 1,
    Packet.WORK_DATA: 2,
    Packet.WORK_WARNING: 2,
    Packet.JOB_ASSIGN_UNIQ: 4,
    Packet.JOB_ASSIGN_ALL: 5,
    Packet.STATUS_RES_UNIQUE: 6,
}

Argument = bytes | str | int
"""What an argument is written as: text goes as UTF-8, a number in decimal."""


class WireMismatchError(AssertionError):
    """Something else came over the wire than was expected, or nothing did."""


class Received(NamedTuple):
    """One packet as it was read."""

    magic: bytes
    type: int
    body: bytes

    @property
    def args(self) -> tuple[bytes, ...]:
        """Its body cut into the arguments of its type; a body that is not cut to measure stays whole."""
        count = _RESPONSE_ARGUMENTS.get(self.type, 1)
        if count == 0:
            return (self.body,) if self.body else ()
        parts = self.body.split(b"\0", count - 1)
        return tuple(parts) if len(parts) == count else (self.body,)

    def __str__(self) -> str:
        magic = "" if self.magic == RES else f"{self.magic!r} "
        return magic + _described(self.type, self.args)


class Assigned(NamedTuple):
    """A grabbed job. The unique is empty if the packet that assigned it carries none."""

    handle: bytes
    function: bytes
    unique: bytes
    workload: bytes


class Status(NamedTuple):
    """The answer to GET_STATUS or GET_STATUS_UNIQUE, after the handle or unique that it repeats."""

    known: bytes
    running: bytes
    numerator: bytes
    denominator: bytes
    clients: bytes = b""


def encode(type: int, *args: Argument, magic: bytes = REQ) -> bytes:
    """One packet: the header, and the arguments with a NUL between each two."""
    body = b"\0".join([_bytes(argument) for argument in args])
    return magic + type.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


class RawPeer:
    """One connection to a job server, as client, worker and administrator; a context manager.

    Args:
        timeout: seconds that anything expected may take to come.
    """

    def __init__(self, host: str, port: int, timeout: float = TIMEOUT) -> None:
        self._take_up(socket.create_connection((host, port), timeout), timeout)

    @classmethod
    def over(cls, connected: socket.socket, timeout: float = TIMEOUT) -> Self:
        """The same over a connection that is there already, such as one that a test accepted as a server."""
        peer = cls.__new__(cls)
        peer._take_up(connected, timeout)
        return peer

    def _take_up(self, connected: socket.socket, timeout: float) -> None:
        self.timeout = timeout
        self.socket = connected
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.socket.close()

    # Sending

    def send(self, type: int, *args: Argument, magic: bytes = REQ) -> None:
        """Send one packet."""
        self.send_bytes(encode(type, *args, magic=magic))

    def send_text(self, line: Argument, end: bytes = b"\n") -> None:
        """Send one line of the text protocol."""
        self.send_bytes(_bytes(line) + end)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are. What comes back meanwhile is read, so that neither side blocks."""
        deadline = time.monotonic() + self.timeout
        rest = memoryview(data)
        while rest:
            readable, writable = _ready(self.socket, select.POLLIN | select.POLLOUT, self._left(deadline))
            if readable:
                self._read()
                if self._closed:
                    raise WireMismatchError(
                        f"the server closed the connection while {len(rest)} bytes were left"
                    )
            if writable:
                self.socket.setblocking(False)
                try:
                    rest = rest[self.socket.send(rest[:_CHUNK]) :]
                except ConnectionError:
                    raise WireMismatchError(
                        f"the server closed the connection, {len(rest)} bytes were left"
                    ) from None
                finally:
                    self.socket.settimeout(self.timeout)
            if not readable and not writable:
                raise WireMismatchError(
                    f"the server did not take {len(rest)} bytes within {self.timeout:g} s"
                )

    # Receiving

    def recv(self, timeout: float | None = None) -> Received:
        """Read one packet."""
        timeout = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        self._gather(HEADER_SIZE, deadline, "a packet")
        header = bytes(self._received[:HEADER_SIZE])
        if header[0] != 0:
            raise WireMismatchError(f"expected a packet, got {_shown(bytes(self._received))}")
        size = int.from_bytes(header[8:], "big")
        self._gather(HEADER_SIZE + size, deadline, "the rest of a packet")
        return Received(header[:4], int.from_bytes(header[4:8], "big"), self._take(HEADER_SIZE + size)[12:])

    def recv_rest(self) -> list[Received]:
        """Read every packet up to the end of the connection, which has to come."""
        deadline = time.monotonic() + self.timeout
        packets: list[Received] = []
        while True:
            while not self._closed and not self._received:
                if not any(_ready(self.socket, select.POLLIN, self._left(deadline))):
                    raise WireMismatchError(f"the server kept the connection open for {self.timeout:g} s")
                self._read()
            if not self._received:
                return packets
            packets.append(self.recv())

    def recv_line(self) -> bytes:
        """Read one line of the text protocol, its end included."""
        deadline = time.monotonic() + self.timeout
        while (end := self._received.find(b"\n")) < 0:
            self._gather(len(self._received) + 1, deadline, "a line")
        return self._take(end + 1)

    def recv_lines(self) -> list[bytes]:
        """Read lines up to the one that is a single dot; they come without their ends and without the dot."""
        lines: list[bytes] = []
        while (line := self.recv_line().rstrip(b"\r\n")) != b".":
            lines.append(line)
        return lines

    # Expecting

    def expect(
        self, type: int, *args: Argument | EllipsisType, timeout: float | None = None
    ) -> tuple[bytes, ...]:
        """Read one packet and require that it is this one; returns its arguments.

        With no `args` any will do, though a type that carries none must come without a body. `...` stands
        for any one argument.
        """
        wanted = tuple(
            argument if isinstance(argument, EllipsisType) else _bytes(argument) for argument in args
        )
        try:
            packet = self.recv(timeout)
        except WireMismatchError as error:
            raise WireMismatchError(f"expected {_described(type, wanted)}: {error}") from None
        got = packet.args
        count = len(args) or _RESPONSE_ARGUMENTS[type]
        if (
            packet.magic != RES
            or packet.type != type
            or len(got) != count
            or any(want is not ... and want != have for want, have in zip(wanted, got, strict=False))
        ):
            raise WireMismatchError(f"expected {_described(type, wanted)}, got {packet}")
        return got

    def expect_error(self, code: str) -> bytes:
        """Expect an ERROR with that code; returns its sentence."""
        return self.expect(Packet.ERROR, code, ...)[1]

    def sync(self) -> None:
        """Return once the server has acted on everything that was sent here, by the way of an ECHO.

        Whatever the server sent before that was not expected is a mismatch, so this also says that nothing
        is waiting to be read.
        """
        token = b"sync %d" % next(_tokens)
        self.send(Packet.ECHO_REQ, token)
        self.expect(Packet.ECHO_RES, token)

    def expect_nothing(self) -> None:
        """Require that the server has sent nothing.

        To be sure that it will not, `sync` the connection whose act might have caused it first.
        """
        self.sync()

    def expect_closed(self) -> None:
        """Require that the server ends the connection, with nothing left to read."""
        rest = self.recv_rest()
        if rest:
            raise WireMismatchError(f"expected the end of the connection, got {rest[0]}")

    # What every case needs

    def leave(self, observer: RawPeer) -> None:
        """End the connection, and return once the server has noticed, as `observer` sees it."""
        name = b"leaving-%d-%d" % (os.getpid(), next(_tokens))
        self.send(Packet.SET_CLIENT_ID, name)
        self.sync()
        self.close()
        deadline = time.monotonic() + observer.timeout
        while True:
            observer.send_text("workers")
            if not any(name in line for line in observer.recv_lines()):
                break
            if time.monotonic() > deadline:
                raise WireMismatchError("the server did not notice the end of a connection")
            time.sleep(0.005)
        observer.sync()

    def submit(
        self,
        function: Argument,
        workload: Argument = b"",
        *,
        unique: Argument = b"",
        type: Packet = Packet.SUBMIT_JOB,
    ) -> bytes:
        """Submit a job and read its JOB_CREATED; returns the handle."""
        self.send(type, function, unique, workload)
        return self.expect(Packet.JOB_CREATED)[0]

    def can_do(self, *functions: Argument) -> None:
        """Announce functions, and return once the server knows."""
        for function in functions:
            self.send(Packet.CAN_DO, function)
        self.sync()

    def grab(self) -> Assigned:
        """Grab a job; there must be one."""
        self.send(Packet.GRAB_JOB)
        handle, function, workload = self.expect(Packet.JOB_ASSIGN)
        return Assigned(handle, function, b"", workload)

    def grab_uniq(self) -> Assigned:
        """Grab a job with its unique; there must be one."""
        self.send(Packet.GRAB_JOB_UNIQ)
        return Assigned(*self.expect(Packet.JOB_ASSIGN_UNIQ))

    def grab_nothing(self) -> None:
        """Grab a job; there must be none."""
        self.send(Packet.GRAB_JOB)
        self.expect(Packet.NO_JOB)

    def complete(self, handle: bytes, result: Argument = b"") -> None:
        """End a job that was grabbed here, and return once the server knows."""
        self.send(Packet.WORK_COMPLETE, handle, result)
        self.sync()

    def status(self, handle: bytes) -> Status:
        """Ask for a job's status."""
        self.send(Packet.GET_STATUS, handle)
        return Status(*self.expect(Packet.STATUS_RES, handle, ..., ..., ..., ...)[1:])

    def status_unique(self, unique: Argument) -> Status:
        """Ask for the status of the job with that unique."""
        self.send(Packet.GET_STATUS_UNIQUE, unique)
        return Status(*self.expect(Packet.STATUS_RES_UNIQUE, unique, ..., ..., ..., ..., ...)[1:])

    # The socket

    def _gather(self, size: int, deadline: float, what: str) -> None:
        """Read until `size` bytes are there."""
        while len(self._received) < size:
            if self._closed:
                raise WireMismatchError(
                    f"the server closed the connection instead of sending {what}{self._rest()}"
                )
            if not any(_ready(self.socket, select.POLLIN, self._left(deadline))):
                raise WireMismatchError(f"{what} did not come in time{self._rest()}")
            self._read()

    def _read(self) -> None:
        try:
            data = self.socket.recv(_CHUNK)
        except ConnectionError:
            data = b""
        if data:
            self._received += data
        else:
            self._closed = True

    def _take(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _rest(self) -> str:
        return f", only {_shown(bytes(self._received))}" if self._received else ""

    @staticmethod
    def _left(deadline: float) -> float:
        return max(deadline - time.monotonic(), 0.0)


def _ready(connection: socket.socket, events: int, timeout: float) -> tuple[bool, bool]:
    """Wait until a socket is ready; returns whether it can be read and written."""
    # Not select(), which knows no descriptor past 1023, and some tests hold thousands.
    poll = select.poll()
    poll.register(connection, events)
    found = dict(poll.poll(timeout * 1000)).get(connection.fileno(), 0)
    return bool(found & ~select.POLLOUT), bool(found & select.POLLOUT)


def _bytes(argument: Argument) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()


def _described(type: int, args: tuple[bytes | EllipsisType, ...]) -> str:
    name = Packet(type).name if type in _NAMES else f"type {type}"
    return f"{name}({', '.join('...' if a is ... else _shown(a) for a in args)})"


def _shown(data: bytes) -> str:
    if len(data) <= SHOWN_BYTES:
        return repr(data)
    return f"{data[:SHOWN_BYTES]!r}… ({len(data)} bytes)"


_NAMES: Final = frozenset(Packet)
