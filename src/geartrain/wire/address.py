"""Where a job server is: `"host"`, `"host:port"`, `"[::1]:4730"`, `"unix:/path"`, or `"tls:host:port"`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .packets import DEFAULT_PORT

MAX_PATH: Final = 107
"""Bytes of a Unix socket's path, a limit of the kernel."""
MAX_HOST: Final = 253
"""Characters of a host's name, a limit of DNS."""
_PREFIXES: Final = frozenset({"unix", "tls"})


class Address(NamedTuple):
    """A job server's address: a host and a port, or the path of a Unix socket (then `host` is empty).

    The rest is for who connects there: whether TLS is spoken, or what it is spoken with, an `ssl.SSLContext`;
    and what to send as `token`, if anything.
    """

    host: str
    port: int
    path: str = ""
    tls: Any = False
    token: bytes = b""

    @property
    def is_local(self) -> bool:
        """Whether nobody but programs of the same machine gets there."""
        return bool(self.path) or self.host in ("localhost", "::1") or self.host.startswith("127.")

    def __repr__(self) -> str:
        # Without the token: what is printed while debugging, or sent along with an error, must not hold it.
        return f"<Address {self}>"

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        tls = "tls:" if self.tls else ""
        return tls + (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Read an address as people write it.

    After `tls:` stands one of a server that speaks TLS. An IPv6 address with a port needs its brackets; alone
    (`"::1"`) it may go without.

    Raises:
        ValueError: with a sentence that says what is wrong.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError(f"{text!r}: a Unix socket needs a path, as in 'unix:/run/geartrain.sock'")
        size = len(path.encode("utf-8", "surrogateescape"))
        if "\0" in path or size > MAX_PATH:
            raise ValueError(
                f"{_short(text)}: the path of a Unix socket has no NUL and up to {MAX_PATH} bytes, not {size}"
            )
        return Address("", 0, path)
    if text.startswith("tls:"):
        plain = parse_address(text.removeprefix("tls:"), default_port)
        if plain.path:
            raise ValueError(f"{_short(text)}: a Unix socket speaks no TLS")
        return plain._replace(tls=True)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{_short(text)}: an IPv6 address with a port is written '[::1]:{DEFAULT_PORT}'")
        port = rest[1:]
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if not host:
        raise ValueError(f"{_short(text)}: the host is missing")
    if ":" in host or text.startswith("["):
        _require_ipv6(text, host)
    elif len(host) > MAX_HOST or not host.isprintable() or any(character in " []/@" for character in host):
        raise ValueError(f"{_short(text)}: this is no name of a host")
    elif host in _PREFIXES:
        raise ValueError(f"{_short(text)}: after '{host}:' an address is missing")
    if not port:
        if text.endswith(":") and text.count(":") == 1:
            raise ValueError(f"{text!r}: the port is missing")
        return Address(host, default_port)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"{_short(text)}: the port must be a number up to 65535, not {_short(port)}")
    return Address(host, int(port))


def _require_ipv6(text: str, host: str) -> None:
    # Few programs need it, and each start would pay for it.
    from ipaddress import IPv6Address

    try:
        IPv6Address(host)
    except ValueError:
        raise ValueError(
            f"{_short(text)}: this is no IPv6 address; one with a port is written '[::1]:{DEFAULT_PORT}'"
        ) from None
    if not host.isprintable():
        raise ValueError(f"{_short(text)}: this is no IPv6 address")


def _short(text: str) -> str:
    """Return an address for an error text, cut where it is long."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
