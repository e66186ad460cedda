"""Answers to the text protocol, in the formats that gearadmin and the monitoring plugins read.

Words are case-insensitive; which answers end in LF and which in CRLF is gearmand's choice, kept to the byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .state import PRIORITIES

if TYPE_CHECKING:
    from .broker import Broker

_OK: Final = b"OK\r\n"
_END: Final = b".\n"


def answer(broker: Broker, line: bytes) -> bytes:
    """Carry out one line and return what to send back; a line that is not understood changes nothing."""
    words = line.split()
    if not words:
        return b"ERR UNKNOWN_COMMAND Unknown+server+command\r\n"
    command = _COMMANDS.get(words[0].lower())
    if command is None:
        return b"ERR UNKNOWN_COMMAND Unknown+server+command" + words[0] + b"\r\n"
    return command(broker, words)


def _incomplete(words: list[bytes]) -> bytes:
    return (
        b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+" + words[0] + b"\r\n"
    )


def _status(broker: Broker, words: list[bytes]) -> bytes:
    rows = [
        b"%b\t%d\t%d\t%d\n" % (function.name, function.total, function.running, function.workers)
        for function in broker.functions.values()
    ]
    return b"".join(rows) + _END


def _workers(broker: Broker, words: list[bytes]) -> bytes:
    rows: list[bytes] = []
    for peer in broker.peers:
        # Newest ability first, as jobs are served.
        names = b"".join([b" " + name for name in reversed(peer.abilities)])
        rows.append(b"%d %b %b :%b\n" % (peer.fd, peer.address.encode(), peer.id, names))
    return b"".join(rows) + _END


def _max_queue(broker: Broker, words: list[bytes]) -> bytes:
    """`maxqueue FUNCTION LIMIT` for all priorities, `maxqueue FUNCTION HIGH NORMAL LOW` for each; 0: none."""
    if len(words) == 1:
        return _incomplete(words)
    limits = [0] * PRIORITIES
    for priority, word in enumerate(words[2 : 2 + PRIORITIES]):
        limits[priority] = int(word[:10]) if word.isdigit() else 0
    if len(words) <= 3:
        limits = [limits[0]] * PRIORITIES
    function = broker.functions.get(words[1])
    if function is not None:
        function.limits = limits
    return _OK


def _get_pid(broker: Broker, words: list[bytes]) -> bytes:
    return b"OK %d\n" % broker.pid


def _version(broker: Broker, words: list[bytes]) -> bytes:
    return b"OK " + broker.version.encode() + b"\n"


def _shutdown(broker: Broker, words: list[bytes]) -> bytes:
    if len(words) == 1:
        broker.shutdown = "now"
    elif len(words) == 2 and words[1].lower() == b"graceful":
        broker.shutdown = "graceful"
    else:
        return _incomplete(words)
    return _OK


_COMMANDS: Final[dict[bytes, Callable[[Broker, list[bytes]], bytes]]] = {
    b"status": _status,
    b"workers": _workers,
    b"maxqueue": _max_queue,
    b"getpid": _get_pid,
    b"version": _version,
    b"shutdown": _shutdown,
}
