"""Every packet in the log, while debug messages are wanted: who sent or was sent what about which job.

What jobs carry is none of the log's business, and an option may be a token: of these only the size is told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import structlog

from ..broker import Peer
from ..errors import ProtocolError
from ..wire import packets as p
from ..wire.parser import Parser
from ..wire.text import text_of

_NEVER: Final = frozenset({"workload", "result", "data", "exception", "warning", "option"})

MOST: Final = 1000
"""Bytes of text that are shown at most: a list may have millions of lines."""

_log = structlog.get_logger("geartrain.server")


class Trace:
    """Logs the packets of all peers."""

    @staticmethod
    def wanted() -> bool:
        """Whether debug messages are logged now."""
        return logging.getLogger("geartrain.server").isEnabledFor(logging.DEBUG)

    def received(self, peer: Peer, packets: Iterable[tuple[int, bytes]]) -> None:
        """A peer has sent packets."""
        for type, body in packets:
            self._tell("received", peer, type, body)

    def sent(self, peer: Peer, outbox: Iterable[bytes]) -> None:
        """These bytes are about to be written to a peer: whole packets, or lines of text."""
        data = b"".join(outbox)
        try:
            packets = Parser(p.RESPONSE, len(data), len(data)).feed(data)
        except ProtocolError:
            packets = [(p.TEXT, data)]
        for type, body in packets:
            self._tell("sent", peer, type, body)

    def _tell(self, event: str, peer: Peer, type: int, body: bytes) -> None:
        if type == p.TEXT:
            _log.debug(event, packet="text", peer=peer.address, fd=peer.fd, line=text_of(body[:MOST]))
            return
        told: dict[str, object] = {}
        packet = p.PACKETS.get(type)
        if packet is not None and packet.arguments:
            found = body.split(b"\0", len(packet.arguments) - 1)
            for name, argument in zip(packet.arguments, found, strict=False):
                if name in _NEVER:
                    told[f"{name}_bytes"] = len(argument)
                else:
                    told[name.replace(" ", "_")] = text_of(argument)
        _log.debug(event, packet=p.name_of(type), peer=peer.address, fd=peer.fd, **told)
