"""Listening sockets, and who is accepted at them: as many as may be, and nobody while none can be.

At the limit of connections, and when the process is out of file descriptors, the listeners rest: whoever
comes waits in the kernel's backlog, and nothing spins meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
import ssl
import stat
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import structlog

from ..sockets import tune
from ..wire.address import Address
from .options import ServerOptions

ANY: Final = "*"
"""Host that stands for all addresses of this machine, of both versions of IP."""
AT_ONCE: Final = 64
"""Connections that are accepted in one turn of the loop; then the others have theirs."""
SETTLE_WITHIN: Final = 0.1
"""Seconds that a TLS handshake has to end when the server stops."""
REST: Final = 0.5
"""Seconds after which a listener that found no file descriptor tries again."""
SPARE_DESCRIPTORS: Final = 24
"""File descriptors that are kept for the journal, the listeners and the log."""

_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_log = structlog.get_logger("geartrain.server")


class _Listener(NamedTuple):
    socket: socket.socket
    tls: bool
    is_own: bool


class Listeners:
    """The addresses of one server.

    Args:
        new_protocol: makes the protocol of a connection that was accepted from an address.
        context: the TLS context to use now, for those that speak TLS.
    """

    def __init__(
        self,
        options: ServerOptions,
        new_protocol: Callable[[str], asyncio.BaseProtocol],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._options = options
        self._new_protocol = new_protocol
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._listeners: list[_Listener] = []
        # The Unix sockets it made, and which files they are.
        self._paths: dict[str, tuple[int, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._resting = True
        self._alarm: asyncio.TimerHandle | None = None
        # Connections by their address, those in their TLS handshake too.
        self._by_address: dict[str, int] = {}
        self._count = 0
        self.max_connections = _max_connections(options.limits.connections)
        self.addresses: list[Address] = []
        """Where it listens, with the ports that the system chose."""

    # Opening and closing

    def bind(self, addresses: Iterable[Address]) -> None:
        """Bind all addresses that these stand for, each once. Peers are turned away until `listen`.

        Raises:
            OSError: one of them can't be had.
        """
        addresses = list(addresses)
        bound: set[tuple[int, object]] = set()
        for address in addresses:
            has_v4 = any(other.host == "0.0.0.0" and other.port == address.port for other in addresses)
            for new in _bind(address, bound, both_versions=not has_v4):
                self.adopt(new, tls=bool(address.tls), is_own=True)
            if address.path:
                self._paths[address.path] = _identity(address.path)

    def adopt(self, listening: socket.socket, *, tls: bool, is_own: bool = False) -> None:
        """Take a socket that is bound already; one that is not its own goes on when this one ends."""
        listening.setblocking(False)
        keepalive = self._options.keepalive
        # Accepted sockets inherit it.
        with contextlib.suppress(OSError):
            tune(
                listening,
                keepalive.idle,
                keepalive.interval,
                keepalive.probes,
                self._options.timeouts.stalled,
            )
        self._listeners.append(_Listener(listening, tls, is_own))
        name = listening.getsockname()
        if listening.family == socket.AF_UNIX:
            self.addresses.append(Address("", 0, os.fsdecode(name)))
        else:
            self.addresses.append(Address(name[0], name[1], tls=tls))

    def listen(self) -> None:
        """Listen and begin to accept.

        Raises:
            OSError: somebody else took one of the addresses meanwhile.
        """
        for path, identity in self._paths.items():
            if _identity(path) != identity:
                raise OSError(errno.EADDRINUSE, "another server took the address", path)
        for listener, address in zip(self._listeners, self.addresses, strict=True):
            try:
                listener.socket.listen(self._options.backlog)
            except OSError as error:
                raise _named(error, address) from None
        self._start()

    def _start(self) -> None:
        self._resting = False
        for listener in self._listeners:
            self._loop.add_reader(listener.socket, self._accept, listener)

    def close(self) -> None:
        """Listen no more, and remove the Unix sockets."""
        self._rest()
        for listener in self._listeners:
            if listener.is_own:
                # Closing alone takes effect when the event loop has let go of it.
                with contextlib.suppress(OSError):
                    listener.socket.shutdown(socket.SHUT_RDWR)
            listener.socket.close()
        self._listeners = []
        for path, identity in self._paths.items():
            with contextlib.suppress(OSError):
                if _identity(path) == identity:
                    os.unlink(path)
        self._paths = {}

    async def settle(self) -> None:
        """Wait for the connections that were accepted last; a TLS handshake that goes on is broken off."""
        tasks = list(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=SETTLE_WITHIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def is_open(self) -> bool:
        """Whether there is anything that it listens on."""
        return bool(self._listeners)

    # Accepting

    def _accept(self, listener: _Listener) -> None:
        for _ in range(AT_ONCE):
            if self._count >= self.max_connections:
                _log.warning("no more connections are accepted until one ends", connections=self._count)
                self._rest()
                return
            try:
                connection, name = listener.socket.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    _log.warning("a connection could not be accepted", reason=str(error))
                    return
                _log.warning("no more connections are accepted for now", reason=error.strerror)
                self._rest()
                self._alarm = self._loop.call_later(REST, self._wake)
                return
            # A socket for both versions of IP shows an IPv4 address as one of IPv6.
            address = str(name[0]).removeprefix("::ffff:") if isinstance(name, tuple) else "unix"
            if not self._admit(address):
                connection.close()
                continue
            connection.setblocking(False)
            task = self._loop.create_task(self._welcome(connection, address, listener.tls))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _admit(self, address: str) -> bool:
        most = self._options.limits.connections_per_address
        count = self._by_address.get(address, 0)
        if most and count >= most:
            if count == most:
                # Once, and again when the address has been below its limit.
                _log.warning("too many connections from one address", peer=address, limit=most)
                self._by_address[address] = count + 1
            return False
        self._by_address[address] = count + 1
        self._count += 1
        return True

    async def _welcome(self, connection: socket.socket, address: str, tls: bool) -> None:
        """Hand an accepted socket to the loop, after its TLS handshake if there is one."""
        timeout = self._options.timeouts.handshake or None
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._new_protocol(address),
                connection,
                ssl=self._context() if tls else None,
                ssl_handshake_timeout=timeout if tls else None,
            )
        except BaseException as error:
            connection.close()
            self.left(address)
            if isinstance(error, OSError | TimeoutError):
                _log.info("a TLS handshake failed", peer=address, reason=_reason(error))
            elif not isinstance(error, asyncio.CancelledError):
                raise

    def left(self, address: str) -> None:
        """A connection from that address has ended; there may be room for another."""
        most = self._options.limits.connections_per_address
        count = self._by_address.get(address, 0)
        if not count:
            return
        self._count -= 1
        if most and count > most:
            count = most
        if count == 1:
            del self._by_address[address]
        else:
            self._by_address[address] = count - 1
        if self._resting and self._listeners and self._alarm is None:
            self._wake()

    # Resting

    def _rest(self) -> None:
        self._resting = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for listener in self._listeners:
            self._loop.remove_reader(listener.socket)

    def _wake(self) -> None:
        self._alarm = None
        if self._listeners:
            self._start()


def _reason(error: BaseException) -> str:
    return getattr(error, "reason", None) or str(error) or type(error).__name__


def _max_connections(wanted: int) -> int:
    """As many as wanted, and as the limit on file descriptors allows, which is raised if it can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    possible = max(1, soft - SPARE_DESCRIPTORS) if soft != resource.RLIM_INFINITY else 1 << 30
    if wanted > possible:
        _log.warning(
            "the limit on file descriptors allows fewer connections", wanted=wanted, possible=possible
        )
    return min(wanted or possible, possible)


def _bind(
    address: Address, bound_before: set[tuple[int, object]], both_versions: bool
) -> list[socket.socket]:
    """Return new sockets for every address that a name stands for, or for a path.

    `*` and `[::]` serve IPv4 too, unless `both_versions` is false: then 0.0.0.0 has a socket of its own.
    Addresses in `bound_before` are left out, and the new ones added there.
    """
    if address.path:
        if (socket.AF_UNIX, address.path) in bound_before:
            return []
        bound_before.add((socket.AF_UNIX, address.path))
        _make_way(address.path)
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(address.path)
        except BaseException:
            bound.close()
            raise
        return [bound]
    host = _any_host() if address.host == ANY else address.host
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, name in dict.fromkeys(found):
            if address.port and (family, name) in bound_before:
                continue
            bound_before.add((family, name))
            bound = socket.socket(family, kind, protocol)
            sockets.append(bound)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                only_v6 = host != "::" or not both_versions
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only_v6))
            bound.bind(name)
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise _named(error, address) from None
    return sockets


def _any_host() -> str:
    """Return the address that stands for all of this machine's, `::` where there is IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return "0.0.0.0"
    return "::"


def _named(error: OSError, address: Address) -> OSError:
    return OSError(error.errno, f"{address}: {(error.strerror or str(error)).lower()}")


def _identity(path: str) -> tuple[int, int]:
    """Which file is there; none is (0, 0)."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _make_way(path: str) -> None:
    """Remove a Unix socket whose owner is gone.

    Raises:
        OSError: somebody answers there.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
                else:
                    raise OSError(errno.EADDRINUSE, "address already in use", path)
