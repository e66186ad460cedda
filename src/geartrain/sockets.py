"""Connections between a job server and its peers: how they are opened, and what is set on them."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable
from typing import Final

from .tls import secure
from .wire.address import Address

# A peer that vanished without a word (power cut, cable, firewall) is noticed by the kernel within about
# 30 + 3 x 10 seconds even while nothing is sent.
KEEPALIVE_IDLE: Final = 30
KEEPALIVE_INTERVAL: Final = 10
KEEPALIVE_PROBES: Final = 3

_MAX_INT: Final = 2**31 - 1

_HUNG_UP: Final = getattr(select, "POLLRDHUP", select.POLLIN)


def connect(address: Address, timeout: float) -> socket.socket:
    """Open a blocking connection, tuned for small packets and for noticing a peer that has gone.

    `timeout` bounds the attempt, in seconds; the socket that is returned has it set.

    Raises:
        OSError: the server could not be reached in time.
    """
    if address.path:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(address.path)
        except BaseException:
            connection.close()
            raise
        return connection
    connection = socket.create_connection((address.host, address.port), timeout)
    tune(connection)
    return secure(connection, address, timeout)


def tune(
    connection: socket.socket,
    idle: int = KEEPALIVE_IDLE,
    interval: int = KEEPALIVE_INTERVAL,
    probes: int = KEEPALIVE_PROBES,
    stalled: float = 0.0,
) -> None:
    """Set on a TCP socket what every Geartrain connection wants; nothing for a Unix socket.

    A silent peer is probed after `idle` seconds, each `interval`, and given up after so many probes. One that
    takes none of the bytes sent to it for `stalled` seconds is given up, too; 0: as the kernel has it.
    """
    if connection.family == socket.AF_UNIX:
        return
    # Packets are gathered before they are written, so waiting for more to send would only add latency.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(idle > 0))
    for name, value in (
        ("TCP_KEEPIDLE", idle),
        ("TCP_KEEPINTVL", interval),
        ("TCP_KEEPCNT", probes),
        ("TCP_USER_TIMEOUT", min(int(stalled * 1000), _MAX_INT)),
    ):
        option = getattr(socket, name, None)
        if option is not None and value > 0:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def has_hung_up(descriptor: int) -> bool:
    """Return whether the peer of a connection has closed it; later writes are lost without an error.

    Where the system has no POLLRDHUP, unread bytes count as well: read them, and ask again.
    """
    poll = select.poll()
    poll.register(descriptor, _HUNG_UP)
    return bool(poll.poll(0))


_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


def acknowledge(connection: socket.socket) -> None:
    """Send a TCP peer the acknowledgement of its last segments at once.

    By itself Linux does so behind every second full segment, else up to 40 ms later. A peer with Nagle's
    algorithm holds its next small write back until then. A full segment is 64 KiB on loopback, all that the
    socket buffer of libgearman holds: for it 16 MB would take nine seconds.
    """
    if _QUICKACK is not None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except (OSError, ValueError):
            pass  # closed meanwhile


def give_up(descriptors: Iterable[int]) -> None:
    """Replace descriptors by the null device in this process.

    The numbers stay taken, so whichever object still closes one closes no other file.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        if descriptor >= 0:
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)
