"""What can be chosen about a job server, with the defaults that a stranger can trust."""

from __future__ import annotations

from dataclasses import dataclass

from ..wire.address import Address, parse_address
from ..wire.packets import DEFAULT_PORT
from ..wire.parser import MAX_PACKET


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How one job server runs.

    Args:
        listen: where it listens, each as `"host"`, `"host:port"`, `"[::1]:4730"` or `"unix:/path"`. Loopback
            unless told otherwise.
        port: the port of the addresses that name none; 0 lets the system choose.
        journal: where background jobs survive, `"memory"` for nowhere.
        backlog: connections that the kernel holds until they are accepted.
        max_packet: bytes of a packet's body that are taken at most; checked from the header, before memory
            is given to it. This is a security limit.
        max_outbox: bytes that wait for one peer to read them at most; a peer that lets more gather is
            disconnected. This is a security limit.
    """

    listen: tuple[str, ...] = ("127.0.0.1",)
    port: int = DEFAULT_PORT
    journal: str = "memory"
    backlog: int = 1024
    max_packet: int = MAX_PACKET
    max_outbox: int = 2 * MAX_PACKET

    def addresses(self) -> list[Address]:
        """The addresses to listen on.

        Raises:
            ValueError: one of them can't be read; the sentence says which and why.
        """
        return [parse_address(text, self.port) for text in self.listen]
