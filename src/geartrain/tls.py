"""TLS and tokens on the client's and the worker's side: whom to trust, and a socket that speaks TLS."""

from __future__ import annotations

import functools
import os
import socket
import ssl
import time
from typing import Final, cast

from .errors import ConfigError
from .wire.address import Address

CA, CERTIFICATE, KEY = ("GEARTRAIN_TLS_CA", "GEARTRAIN_TLS_CERTIFICATE", "GEARTRAIN_TLS_KEY")
"""The environment's files for servers that are written `tls:host:port`."""

TOKEN: Final = "GEARTRAIN_TOKEN"
"""The environment's token, for servers whose rules ask for one."""

_LIBGEARMANS: Final = {
    CA: "GEARMAND_CA_CERTIFICATE",
    CERTIFICATE: "GEARMAN_CLIENT_PEM",
    KEY: "GEARMAN_CLIENT_KEY",
}
"""libgearman's variables for the same files; ours go before them."""

_CHUNK: Final = 64 * 1024


def tls_context(ca: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """What a client or worker needs to speak TLS 1.2 or newer with a job server.

    Args:
        ca: a PEM file with the authorities that sign the servers' certificates; the system's if empty.
        certificate: a PEM file with the certificate that this side shows, for servers that ask for one.
        key: a PEM file with its private key; empty: it is in the certificate's file.

    Raises:
        ConfigError: one of the files can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except OSError as error:
        files = ", ".join(filter(None, (ca, certificate, key)))
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        raise ConfigError(f"TLS: {files} can't be used: {reason}") from None
    return context


def context_of(address: Address) -> ssl.SSLContext | None:
    """The context for connections to a server; None if it does not speak TLS."""
    if not address.tls:
        return None
    return address.tls if isinstance(address.tls, ssl.SSLContext) else _from_environment()


def reached_with(address: Address, context: ssl.SSLContext | None, token: str | None) -> Address:
    """The same server, reached with this context and token; the environment's token if it is None.

    A Unix socket is reached without TLS whatever the context.
    """
    if token is None:
        token = os.environ.get(TOKEN, "")
    tls = address.tls if context is None or address.path else context
    return address._replace(tls=tls, token=token.encode())


@functools.cache
def _from_environment() -> ssl.SSLContext:
    files = [
        os.environ.get(name) or os.environ.get(_LIBGEARMANS[name], "") for name in (CA, CERTIFICATE, KEY)
    ]
    return tls_context(*files)


def secure(connected: socket.socket, address: Address, timeout: float) -> socket.socket:
    """Make of a connected socket one that speaks TLS if the server does, within `timeout` seconds.

    Raises:
        OSError: the handshake failed, or the server is not who it should be. The socket is closed.
    """
    context = context_of(address)
    if context is None:
        return connected
    try:
        secured = TlsSocket(connected, context, address.host)
        secured.shake_hands(timeout)
    except BaseException:
        connected.close()
        raise
    return cast(socket.socket, secured)


class TlsSocket:
    """Behaves as the socket below it, blocking or not, with the flags of `recv` and `send`, and with polling.

    An `ssl.SSLSocket` would not: it knows no flags, and may hold bytes that polling knows nothing of. Here
    `recv` hands out all that has arrived, also if that is more than was asked for.
    """

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._socket = connected
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        # Bytes on the wire that the socket did not take yet, and whether the caller was told that the last
        # byte they stand for was not sent, so that it comes again to have them sent.
        self._unsent = b""
        self._owes_one = False
        self._ended = False

    def shake_hands(self, timeout: float) -> None:
        """Take up the connection, blocking; afterwards the socket is as it was.

        Raises:
            OSError: it failed, with the reason.
        """
        before = self._socket.gettimeout()
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            finally:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                # Also the alert that says why it failed.
                self._socket.sendall(self._outgoing.read())
            if done:
                self._socket.settimeout(before)
                return
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionError("the server closed the connection amid the TLS handshake")
            self._incoming.write(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Wait for bytes as the socket would, and return all that have arrived."""
        while not self._ended:
            data = self._socket.recv(_CHUNK, flags)
            if data:
                self._incoming.write(data)
            else:
                self._ended = True
            found = self._decrypted()
            if found or self._ended:
                return found
        return b""

    def _decrypted(self) -> bytes:
        parts: list[bytes] = []
        try:
            while part := self._tls.read(_CHUNK):
                parts.append(part)
            self._ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        return b"".join(parts)

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        """Send some of the bytes, as the socket would; returns how many need not be sent again."""
        if self._unsent:
            self._flush(flags)
        if self._owes_one:
            # This one was sent, with those before it.
            self._owes_one = False
            return 1
        chunk = memoryview(data)[:_CHUNK]
        if not chunk:
            return 0
        self._tls.write(chunk)
        self._unsent = self._outgoing.read()
        try:
            self._flush(flags)
        except BlockingIOError:
            self._owes_one = True
            if len(chunk) == 1:
                raise
            return len(chunk) - 1
        return len(chunk)

    def _flush(self, flags: int) -> None:
        while self._unsent:
            self._unsent = self._unsent[self._socket.send(self._unsent, flags) :]

    def sendall(self, data: bytes) -> None:
        """Send all of them, blocking."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest) :]

    # As the socket below

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    def settimeout(self, timeout: float | None) -> None:
        """As with any socket."""
        self._socket.settimeout(timeout)

    def setblocking(self, flag: bool) -> None:
        """As with any socket."""
        self._socket.setblocking(flag)

    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:
        """As with any socket."""
        self._socket.setsockopt(level, name, value)

    def getsockopt(self, level: int, name: int) -> int:
        """As with any socket."""
        return self._socket.getsockopt(level, name)

    def shutdown(self, how: int) -> None:
        """As with any socket."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """As with any socket."""
        self._socket.close()
