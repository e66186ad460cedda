"""Connections between a job server and its peers: how they are opened, and what is set on them."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Final

from .tls import secure
from .wire.address import Address

# A peer that vanished without a word (power cut, cable, firewall) is noticed by the kernel within about
# 30 + 3 x 10 seconds even while nothing is sent.
KEEPALIVE_IDLE: Final = 30
KEEPALIVE_INTERVAL: Final = 10
KEEPALIVE_PROBES: Final = 3

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
        ("TCP_USER_TIMEOUT", int(stalled * 1000)),
    ):
        option = getattr(socket, name, None)
        if option is not None and value > 0:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def has_hung_up(descriptor: int) -> bool:
    """Whether the peer of a connection has ended it; what is written then is lost without an error.

    Where the system can't tell (it has no POLLRDHUP), bytes to read count as well: read them, and ask again.
    """
    poll = select.poll()
    poll.register(descriptor, _HUNG_UP)
    return bool(poll.poll(0))


def acknowledge(connection: socket.socket) -> None:
    """Have a TCP peer told at once that what it sent has arrived; nothing for a Unix socket.

    By itself Linux does so behind every second segment, else 40 ms later. On loopback a segment is 64 KiB,
    and libgearman keeps no more than that on its way: for it 16 MB would take nine seconds.
    """
    option = getattr(socket, "TCP_QUICKACK", None)
    if option is not None and connection.family != socket.AF_UNIX:
        with contextlib.suppress(OSError, ValueError):  # it is closed
            connection.setsockopt(socket.IPPROTO_TCP, option, 1)
