"""The text protocol for programs: what a job server is doing, and a few orders to it.

Each command is written once: a function that says which line is sent and how the answer is read. `@command`
makes it a method of `Admin`, which blocks, and of `AsyncAdmin`, which is awaited.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Final, Generic, NamedTuple, ParamSpec, Self, TypeVar, overload

from ..errors import ConnectionLostError, MalformedPacketError, NoServersError, ServerError, WaitTimeoutError
from ..sockets import connect, tune
from ..wire import packets as p
from ..wire.address import Address, parse_address
from ..wire.parser import Parser
from ..wire.text import END, FunctionStatus, WorkerStatus, bytes_of, parse_status, parse_workers, text_of

READ_SIZE: Final = 64 * 1024

P = ParamSpec("P")
T = TypeVar("T")
"""What an answer is read as."""


class Command(NamedTuple, Generic[T]):
    """A line to send, and how its answer is read."""

    line: str
    read: Callable[[list[bytes]], T]
    """Makes of the answer's lines, without their ends, what the caller gets."""
    is_list: bool = False
    """Whether the answer goes on up to a line `.`, which `read` is not given; else it is one line."""
    ends: bool = False
    """Whether it ends the server: it may close the connection instead of answering."""


class command(Generic[P, T]):  # noqa: N801 - a decorator
    """Make a function that gives a `Command` a method of `Admin` and `AsyncAdmin`."""

    def __init__(self, function: Callable[Concatenate[Any, P], Command[T]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, admin: None, owner: type) -> command[P, T]: ...
    @overload
    def __get__(self, admin: Admin, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, admin: AsyncAdmin, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, admin: Admin | AsyncAdmin | None, owner: type) -> object:
        if admin is None:
            return self

        @functools.wraps(self._function)
        def method(*args: P.args, **keywords: P.kwargs) -> object:
            return admin.ask(self._function(admin, *args, **keywords))

        return method


class Commands:
    """The commands, for `Admin` and `AsyncAdmin` alike.

    Each raises ServerError if the server refuses it (`.code` is the server's word), ConnectionLostError or
    NoServersError if the server can't be reached, and WaitTimeoutError if it does not answer in time.
    """

    @command
    def status(self) -> Command[list[FunctionStatus]]:
        """What each function has: its jobs, queued and running, and its workers."""
        return Command("status", parse_status, is_list=True)

    @command
    def workers(self) -> Command[list[WorkerStatus]]:
        """Every connection: its descriptor, address, client id and the functions it announced."""
        return Command("workers", parse_workers, is_list=True)

    @command
    def version(self) -> Command[str]:
        """The server's version."""
        return Command("version", _value)

    @command
    def pid(self) -> Command[int]:
        """The server's process id."""
        return Command("getpid", lambda lines: int(_value(lines)))

    @command
    def max_queue(self, function: str, limit: int | tuple[int, int, int] | None = None) -> Command[None]:
        """Limit how many jobs of a function may be queued; further ones are refused with QUEUE_ERROR.

        Args:
            function: its name, with its prefix if it has one.
            limit: a number for all priorities, or three: for high, normal and low. 0 and None are no limit.
        """
        name = _word(function)
        limits = (limit or 0,) if not isinstance(limit, tuple) else limit
        return Command(" ".join(["maxqueue", name, *map(str, limits)]), _nothing)

    @command
    def shutdown(self, *, graceful: bool = False) -> Command[None]:
        """Stop the server: at once, or (`graceful`) when the jobs that run are done.

        gearmand as Debian builds it does not know this command: ServerError.
        """
        return Command("shutdown graceful" if graceful else "shutdown", _nothing, ends=True)


class Conversation:
    """The answers on one connection, cut into lines."""

    def __init__(self, command: Command[Any]) -> None:
        self._command = command
        self._parser = Parser(p.RESPONSE)
        self._lines: list[bytes] = []
        self.done = False

    def receive(self, data: bytes) -> None:
        """Take bytes; b"" is the end of the connection.

        Raises:
            ConnectionError: it ended before the answer did.
            ServerError: the server answered `ERR`.
        """
        if not data:
            if not self._command.ends or self._lines:
                raise ConnectionError("the server closed the connection")
            self._lines = [b"OK"]
            self.done = True
            return
        for type, line in self._parser.feed(data):
            if type != p.TEXT:
                raise MalformedPacketError(f"{p.name_of(type)} came, and a line was expected")
            if not self._lines and line.startswith(b"ERR "):
                _, code, *text = text_of(line).split(" ", 2)
                raise ServerError(code, text[0].replace("+", " ") if text else "")
            if self._command.is_list and line == END:
                self.done = True
                return
            self._lines.append(line)
            if not self._command.is_list:
                self.done = True
                return

    def value(self) -> Any:
        """The answer, read."""
        try:
            return self._command.read(self._lines)
        except ValueError as error:
            raise MalformedPacketError(f"not an answer to {self._command.line!r}: {error}") from None


class Admin(Commands):
    """Asks one job server and gives it orders, blocking; any server that speaks Gearman's text protocol.

        with Admin("127.0.0.1:4730") as admin:
            for function in admin.status():
                print(function.function, function.queued)

    Args:
        server: `"host"`, `"host:port"`, `"[::1]:4730"` or `"unix:/path"`; the port is 4730 unless given.
        timeout: seconds that connecting, and then each answer, may take.

    It connects with the first command, and again with the next one after the connection broke.
    """

    def __init__(self, server: str = "127.0.0.1:4730", *, timeout: float = 10.0) -> None:
        self._address = parse_address(server)
        self._timeout = timeout
        self._socket: socket.socket | None = None

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

    def ask(self, command: Command[T]) -> T:
        """Send a command and return its answer; for commands that have no method."""
        conversation = Conversation(command)
        finished = False
        try:
            if self._socket is None:
                try:
                    self._socket = connect(self._address, self._timeout)
                except OSError as error:
                    raise NoServersError({str(self._address): _reason(error)}) from None
            try:
                self._socket.sendall(bytes_of(command.line) + b"\n")
                while not conversation.done:
                    conversation.receive(self._socket.recv(READ_SIZE))
            except TimeoutError:
                raise WaitTimeoutError(f"{self._address}: no answer within {self._timeout:g} s") from None
            except OSError as error:
                raise ConnectionLostError(str(self._address), _reason(error)) from None
            finished = not command.ends
            result: T = conversation.value()
            return result
        except ServerError:
            finished = True
            raise
        finally:
            # A connection on which something is still to come is of no use to the next command.
            if not finished:
                self.close()


class AsyncAdmin(Commands):
    """Asks one job server and gives it orders, as `Admin`, in asyncio: the same names, awaited.

    Commands of several tasks take turns.
    """

    def __init__(self, server: str = "127.0.0.1:4730", *, timeout: float = 10.0) -> None:
        self._address = parse_address(server)
        self._timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
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
            writer.transport.abort()
            try:
                await writer.wait_closed()
            except OSError:
                pass

    async def ask(self, command: Command[T]) -> T:
        """Send a command and return its answer; for commands that have no method."""
        async with self._turn:
            conversation = Conversation(command)
            finished = False
            try:
                async with asyncio.timeout(self._timeout):
                    await self._converse(command, conversation)
                finished = not command.ends
                result: T = conversation.value()
                return result
            except ServerError:
                finished = True
                raise
            except TimeoutError:
                raise WaitTimeoutError(f"{self._address}: no answer within {self._timeout:g} s") from None
            finally:
                if not finished:
                    await self.close()

    async def _converse(self, command: Command[Any], conversation: Conversation) -> None:
        if self._streams is None:
            try:
                self._streams = await _open(self._address)
            except OSError as error:
                raise NoServersError({str(self._address): _reason(error)}) from None
        reader, writer = self._streams
        try:
            writer.write(bytes_of(command.line) + b"\n")
            while not conversation.done:
                conversation.receive(await reader.read(READ_SIZE))
        except OSError as error:
            raise ConnectionLostError(str(self._address), _reason(error)) from None


async def _open(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.path:
        return await asyncio.open_unix_connection(address.path)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    tune(writer.get_extra_info("socket"))
    return reader, writer


def _value(lines: list[bytes]) -> str:
    """What follows the `OK`; the Perl server answers without it."""
    return text_of(lines[0]).removeprefix("OK").strip()


def _nothing(lines: list[bytes]) -> None:
    if not lines[0].upper().startswith(b"OK"):
        raise ValueError(text_of(lines[0]))


def _word(name: str) -> str:
    if not name or any(character in name for character in " \r\n\0"):
        raise ValueError(f"{name!r}: the text protocol can't carry this name")
    return name


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
