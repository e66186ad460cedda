"""TLS and tokens of clients and workers: contexts, and a socket that speaks TLS."""

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
"""Environment variables with the PEM files for addresses of the form `tls:host:port`."""

TOKEN: Final = "GEARTRAIN_TOKEN"
"""Environment variable with the token for servers with access rules."""

_LIBGEARMANS: Final = {
    CA: "GEARMAND_CA_CERTIFICATE",
    CERTIFICATE: "GEARMAN_CLIENT_PEM",
    KEY: "GEARMAN_CLIENT_KEY",
}
"""libgearman's variables for the same files; ours go before them."""

_CHUNK: Final = 64 * 1024


def tls_context(ca: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer to a job server.

    Args:
        ca: PEM file of the authorities that sign the servers' certificates, by default the system's.
        certificate: PEM file of this side's certificate, for servers that require one.
        key: PEM file of its private key, by default the certificate's file.

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
    """Return the context for connections to a server; None without TLS."""
    if not address.tls:
        return None
    return address.tls if isinstance(address.tls, ssl.SSLContext) else _from_environment()


def reached_with(address: Address, context: ssl.SSLContext | None, token: str | None) -> Address:
    """Return the address with this context and token; a token of None means the environment's.

    Unix sockets never use TLS.
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
    """Wrap a connected socket in TLS if the address asks for it, within `timeout` seconds.

    Raises:
        OSError: the handshake failed, or the server's certificate names another host. The socket is closed.
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
    """A TLS socket with the semantics of a plain one: blocking or not, flags of `recv` and `send`, polling.

    `ssl.SSLSocket` takes no flags and buffers bytes that polling does not see. Here `recv` returns everything
    that has arrived, even if that is more than `size`.
    """

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._socket = connected
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        # Encrypted bytes that the socket has not accepted. `send` then reports the last plain byte as unsent
        # (`_owes_one`), so the caller comes back and flushes them.
        self._unsent = b""
        self._owes_one = False
        self._ended = False

    def shake_hands(self, timeout: float) -> None:
        """Do the handshake, blocking, and restore the socket's timeout.

        Raises:
            OSError: the handshake failed; the text has the reason.
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
                # Includes the alert of a failed handshake.
                self._socket.sendall(self._outgoing.read())
            if done:
                self._socket.settimeout(before)
                return
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionError("the server closed the connection amid the TLS handshake")
            self._incoming.write(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Wait for bytes as the socket would, and return everything that has arrived."""
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
        """Send some of the bytes, as the socket would; return how many were accepted."""
        if self._unsent:
            self._flush(flags)
        if self._owes_one:
            # That byte was encrypted with the ones before it.
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
        """Send all bytes, blocking."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest) :]

    # As the socket below

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._socket.fileno()

    def settimeout(self, timeout: float | None) -> None:
        """Same as the method of `socket.socket`."""
        self._socket.settimeout(timeout)

    def setblocking(self, flag: bool) -> None:
        """Same as the method of `socket.socket`."""
        self._socket.setblocking(flag)

    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:
        """Same as the method of `socket.socket`."""
        self._socket.setsockopt(level, name, value)

    def getsockopt(self, level: int, name: int) -> int:
        """Same as the method of `socket.socket`."""
        return self._socket.getsockopt(level, name)

    def shutdown(self, how: int) -> None:
        """Same as the method of `socket.socket`."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """Same as the method of `socket.socket`."""
        self._socket.close()
