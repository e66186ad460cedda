"""The text protocol for programs: what a job server is doing, and a few orders to it.

Each command is written once, as a method of `Commands` that yields the line to send and is given the lines of
the answer. To add one, add such a method.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Generator
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from ..environment import default_servers
from ..errors import ConnectionLostError, MalformedPacketError, NoServersError, ServerError, WaitTimeoutError
from ..sockets import connect, has_hung_up, tune
from ..tls import context_of, reached_with
from ..units import require_seconds
from ..wire import packets as p
from ..wire.address import Address, parse_address
from ..wire.codec import arguments, request
from ..wire.parser import Parser
from ..wire.text import (
    END,
    FunctionStatus,
    JobLine,
    PriorityStatus,
    WorkerStatus,
    bytes_of,
    parse_jobs,
    parse_priority_status,
    parse_status,
    parse_uniques,
    parse_workers,
    text_of,
)
from .channel import reason_of
from .methods import Awaited, Blocking, call, plain_methods

READ_SIZE: Final = 64 * 1024
LONGEST_TIMEOUT: Final = 24 * 86400.0
"""Seconds, in milliseconds just about what a socket takes."""

T = TypeVar("T")


class Command(NamedTuple):
    """A line to send."""

    line: str
    is_list: bool = False
    """Whether the answer goes on up to a line `.`, which is not handed on; else it is one line."""
    ends: bool = False
    """Whether it ends the server, so that the end of the connection is as good an answer as any."""


Dialogue = Generator[Command, list[bytes], T]
"""What a command's method makes: it yields commands, is given the lines of each answer, and returns a `T`."""


class Commands:
    """The commands, for `Admin` and `AsyncAdmin` alike.

    Each raises ServerError if the server refuses it (`.code` is the server's word), NoServersError or
    ConnectionLostError if the server can't be reached, and WaitTimeoutError if it does not answer in time.
    """

    _shell: Any

    @call
    def status(self) -> Dialogue[list[FunctionStatus]]:
        """What each function has: its jobs, queued and running, and its workers."""
        return parse_status((yield Command("status", is_list=True)))

    @call
    def workers(self) -> Dialogue[list[WorkerStatus]]:
        """Every connection: its descriptor, address, client id and the functions it announced."""
        return parse_workers((yield Command("workers", is_list=True)))

    @call
    def priority_status(self) -> Dialogue[list[PriorityStatus]]:
        """What each function has waiting, by priority, and its workers."""
        return parse_priority_status((yield Command("prioritystatus", is_list=True)))

    @call
    def jobs(self) -> Dialogue[list[JobLine]]:
        """Every job, waiting or running."""
        return parse_jobs((yield Command("show jobs", is_list=True)))

    @call
    def unique_jobs(self) -> Dialogue[list[str]]:
        """The unique of every job; empty for those that have none."""
        return parse_uniques((yield Command("show unique jobs", is_list=True)))

    @call
    def cancel(self, handle: str) -> Dialogue[None]:
        """Cancel a job; its clients are told that it failed. A running one goes on, but nobody hears of it.

        ServerError with the code `UNKNOWN_JOB`: there is none of that handle.
        """
        _expect_ok((yield Command(f"cancel job {_word(handle)}")))

    @call
    def create_function(self, function: str) -> Dialogue[None]:
        """Make a function known, so that it shows in `status` and can be given a `max_queue`."""
        # With the end of line that gearmand needs to read the whole name.
        _expect_ok((yield Command(f"create function {_word(function)}\r")))

    @call
    def drop_function(self, function: str) -> Dialogue[None]:
        """Forget a function and the jobs that wait for it; ServerError while it has workers."""
        _expect_ok((yield Command(f"drop function {_word(function)}")))

    @call
    def verbosity(self, level: str | None = None) -> Dialogue[str]:
        """How much the server logs, in gearmand's words: FATAL, ALERT, …, INFO, DEBUG.

        With a `level` it is changed first; gearmand itself does not do that.
        """
        return _value((yield Command("verbose" if level is None else f"verbose {_word(level)}")))

    @call
    def version(self) -> Dialogue[str]:
        """The server's version."""
        return _value((yield Command("version")))

    @call
    def journal_trouble(self) -> Dialogue[str]:
        """Why the server can't keep new background jobs now, in a sentence; empty if it can.

        gearmand does not know this command: ServerError.
        """
        word, _, reason = _value((yield Command("journal"))).partition(" ")
        return reason if word == "fails" else ""

    @call
    def pid(self) -> Dialogue[int]:
        """The server's process id."""
        value = _value((yield Command("getpid")))
        if not value.isdecimal():
            raise MalformedPacketError(f"not a process id: {value!r}")
        return int(value)

    @call
    def max_queue(self, function: str, limit: int | tuple[int, int, int] | None = None) -> Dialogue[None]:
        """Limit how many jobs of a function may be queued; further ones are refused with QUEUE_ERROR.

        Args:
            function: its name, with its prefix if it has one.
            limit: a number for all priorities, or three: for high, normal and low. 0 and None are no limit.
        """
        limits = limit if isinstance(limit, tuple) else (limit or 0,)
        _expect_ok((yield Command(" ".join(["maxqueue", _word(function), *map(str, limits)]))))

    @call
    def shutdown(self, *, graceful: bool = False) -> Dialogue[None]:
        """Stop the server: at once, or (`graceful`) when the jobs that run are done.

        gearmand as Debian builds it does not know this command: ServerError.
        """
        _expect_ok((yield Command("shutdown graceful" if graceful else "shutdown", ends=True)))


class Conversation:
    """The answer to one command, gathered from the bytes of a connection."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._parser = Parser(p.RESPONSE)
        self.lines: list[bytes] = []
        self.done = False

    def receive(self, data: bytes) -> None:
        """Take bytes; b"" is the end of the connection.

        Raises:
            ConnectionError: it ended before the answer did.
            ServerError: the server answered `ERR`.
        """
        if not data:
            if not self._command.ends or self.lines:
                raise ConnectionError("the server closed the connection")
            self.lines = [b"OK"]
            self.done = True
            return
        for type, line in self._parser.feed(data):
            if type == p.OPTION_RES:
                continue
            if type == p.ERROR:
                code, text = arguments(type, line)
                raise ServerError(text_of(code), text_of(text))
            if type != p.TEXT:
                raise MalformedPacketError(f"{p.name_of(type)} came, and a line was expected")
            if not self.lines and line.startswith(b"ERR "):
                self.done = True
                raise _refusal(text_of(line).removeprefix("ERR ").strip())
            if self._command.is_list and line == END:
                self.done = True
                return
            self.lines.append(line)
            if not self._command.is_list:
                self.done = True
                return


@plain_methods
class Admin(Commands, Blocking):
    """Asks one job server and gives it orders, blocking; any server that speaks Gearman's text protocol.

        with Admin("127.0.0.1:4730") as admin:
            for function in admin.status():
                print(function.function, function.queued)

    Args:
        server: `"host"`, `"host:port"`, `"[::1]:4730"` or `"unix:/path"`; the default port is 4730. Without
            it the first of `GEARMAN_SERVERS`, or the server on this machine.
        timeout: seconds that connecting, and then each answer, may take.
        tls: speak TLS with this, see `tls_context`. A server that is written `tls:host:port` needs none.
        token: what to send to servers whose access rules ask for one; `GEARTRAIN_TOKEN` unless given.

    It connects with the first command, and again with the next one after the connection broke. Commands of
    several threads take turns, and after a fork the child connects anew.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
    ) -> None:
        require_seconds(timeout)
        self._shell = self
        self._address = reached_with(parse_address(server or default_servers()[0]), tls, token)
        self._timeout = timeout
        self._socket: socket.socket | None = None
        # The process whose socket it is.
        self._process = 0
        self._turn = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def run_steps(self, dialogue: Dialogue[T]) -> T:
        """Have a dialogue with the server and return what it returns."""
        with self._own_turn():
            try:
                command = next(dialogue)
                while True:
                    command = dialogue.send(self._ask(command))
            except StopIteration as stop:
                result: T = stop.value
                return result

    def _own_turn(self) -> threading.RLock:
        if self._process != os.getpid():
            # A fork: the socket and whoever has the lock are the parent's.
            self._process, self._turn = os.getpid(), threading.RLock()
            self.close()
        return self._turn

    def _ask(self, command: Command) -> list[bytes]:
        conversation = Conversation(command)
        # A connection on which something is still to come is of no use to the next command.
        reusable = False
        try:
            if self._socket is not None and has_hung_up(self._socket.fileno()):
                self.close()
            if self._socket is None:
                self._socket = self._connect()
                self._socket.sendall(_greeting(self._address))
            self._socket.sendall(bytes_of(command.line) + b"\n")
            while not conversation.done:
                conversation.receive(self._socket.recv(READ_SIZE))
            reusable = not command.ends
        except ServerError:
            # A refused token is told before, and this command's answer follows.
            reusable = conversation.done
            raise
        except TimeoutError:
            raise WaitTimeoutError(f"{self._address}: no answer within {self._timeout:g} s") from None
        except OSError as error:
            raise ConnectionLostError(str(self._address), reason_of(error)) from None
        finally:
            if not reusable:
                self.close()
        return conversation.lines

    def _connect(self) -> socket.socket:
        try:
            return connect(self._address, min(self._timeout, LONGEST_TIMEOUT))
        except OSError as error:
            raise NoServersError({str(self._address): reason_of(error)}) from None


@plain_methods
class AsyncAdmin(Commands, Awaited):
    """Asks one job server and gives it orders, as `Admin`, in asyncio: the same names, awaited.

    Commands of several tasks take turns.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
    ) -> None:
        require_seconds(timeout)
        self._shell = self
        self._address = reached_with(parse_address(server or default_servers()[0]), tls, token)
        self._timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        # The loop to which these belong.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            if self._loop is not asyncio.get_running_loop():
                return  # nothing of it works without its loop
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def run_steps(self, dialogue: Dialogue[T]) -> T:
        """Have a dialogue with the server and return what it returns."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # As after a second `asyncio.run`.
            await self.close()
            self._loop, self._turn = loop, asyncio.Lock()
        async with self._turn:
            try:
                command = next(dialogue)
                while True:
                    command = dialogue.send(await self._ask(command))
            except StopIteration as stop:
                result: T = stop.value
                return result

    async def _ask(self, command: Command) -> list[bytes]:
        conversation = Conversation(command)
        # A connection on which something is still to come is of no use to the next command.
        reusable = False
        try:
            async with asyncio.timeout(self._timeout):
                if self._streams is not None and _has_ended(self._streams[1]):
                    await self.close()
                if self._streams is None:
                    self._streams = await self._connect()
                    self._streams[1].write(_greeting(self._address))
                reader, writer = self._streams
                writer.write(bytes_of(command.line) + b"\n")
                while not conversation.done:
                    conversation.receive(await reader.read(READ_SIZE))
            reusable = not command.ends
        except ServerError:
            # A refused token is told before, and this command's answer follows.
            reusable = conversation.done
            raise
        except TimeoutError:
            raise WaitTimeoutError(f"{self._address}: no answer within {self._timeout:g} s") from None
        except OSError as error:
            raise ConnectionLostError(str(self._address), reason_of(error)) from None
        finally:
            if not reusable:
                await self.close()
        return conversation.lines

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await _open(self._address)
        except OSError as error:
            raise NoServersError({str(self._address): reason_of(error)}) from None


def _has_ended(writer: asyncio.StreamWriter) -> bool:
    return writer.is_closing() or has_hung_up(writer.get_extra_info("socket").fileno())


async def _open(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.path:
        return await asyncio.open_unix_connection(address.path)
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context_of(address))
    tune(writer.get_extra_info("socket"))
    return reader, writer


def _greeting(address: Address) -> bytes:
    """What a new connection begins with."""
    return request(p.OPTION_REQ, b"token=" + address.token) if address.token else b""


def _refusal(told: str) -> ServerError:
    """What follows `ERR`: a code and a sentence, or a sentence alone."""
    code, _, text = told.partition(" ")
    return ServerError(code, text.replace("+", " ")) if code.isupper() else ServerError("ERR", told)


def _value(lines: list[bytes]) -> str:
    """What follows the `OK`, which the Perl server leaves out."""
    return text_of(lines[0]).removeprefix("OK").strip()


def _expect_ok(lines: list[bytes]) -> None:
    if not lines[0].upper().startswith(b"OK"):
        raise MalformedPacketError(f"expected OK, got {text_of(lines[0])!r}")


def _word(name: str) -> str:
    if not name or any(character in name for character in " \r\n\0"):
        raise ValueError(f"{name!r}: the text protocol can't carry this name")
    return name
