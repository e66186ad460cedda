"""Answers to the text protocol, in the formats that gearadmin and the monitoring plugins read.

Words are case-insensitive; which answers end in LF and which in CRLF is gearmand's choice, kept to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from ..wire.text import status_name
from .state import HIGH, LOW, NORMAL, PRIORITIES, Function

if TYPE_CHECKING:
    from .broker import Broker

VERBOSITIES: Final = (b"FATAL", b"ALERT", b"CRITICAL", b"ERROR", b"WARNING", b"NOTICE", b"INFO", b"DEBUG")
"""gearmand's names for how much is logged, the least first."""

_OK: Final = b"OK\r\n"
_END: Final = b".\n"


def answer(broker: Broker, line: bytes) -> bytes:
    """Carry out one line and return what to send back; a line that is not understood changes nothing."""
    words = line.split()
    if not words:
        return b"ERR UNKNOWN_COMMAND Unknown+server+command\r\n"
    if name := status_name(line):
        return _status_of(broker, name)
    command = _COMMANDS.get(words[0].lower())
    if command is None:
        return _unknown(words)
    return command(broker, words)


def _unknown(words: list[bytes]) -> bytes:
    return b"ERR UNKNOWN_COMMAND Unknown+server+command" + words[0] + b"\r\n"


def _incomplete(words: list[bytes]) -> bytes:
    return (
        b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+" + words[0] + b"\r\n"
    )


def _shown(name: bytes) -> bytes:
    """A name or unique as it may stand in a line.

    One that holds a line's end would fake a line, one that is a dot alone the end of a list.
    """
    return b"?" if name == b"." else name.replace(b"\n", b"?").replace(b"\r", b"?")


# Lists


def _status(broker: Broker, words: list[bytes]) -> bytes:
    return b"".join([_status_row(function) for function in broker.functions.values()]) + _END


def _status_of(broker: Broker, name: bytes) -> bytes:
    """The line of one function: for clients that wait, who would not read a list of thousands.

    gearmand takes no notice of the name.
    """
    function = broker.functions.get(name)
    return _END if function is None else _status_row(function) + _END


def _status_row(function: Function) -> bytes:
    return b"%b\t%d\t%d\t%d\n" % (_shown(function.name), function.total, function.running, function.workers)


def _priority_status(broker: Broker, words: list[bytes]) -> bytes:
    """The jobs of each priority that wait for a worker or for their time."""
    rows = [
        b"%b\t%d\t%d\t%d\t%d\n"
        % (
            _shown(function.name),
            function.not_running(HIGH),
            function.not_running(NORMAL),
            function.not_running(LOW),
            function.workers,
        )
        for function in broker.functions.values()
    ]
    return b"".join(rows) + _END


def _workers(broker: Broker, words: list[bytes]) -> bytes:
    rows: list[bytes] = []
    for peer in broker.peers:
        # Newest ability first, as jobs are served.
        names = b"".join([b" " + _shown(name) for name in reversed(peer.abilities)])
        rows.append(b"%d %b %b :%b\n" % (peer.fd, peer.address.encode(), _shown(peer.id), names))
    return b"".join(rows) + _END


def _show(broker: Broker, words: list[bytes]) -> bytes:
    if len(words) == 1:
        return _unknown(words)
    parts = listing(broker, words)
    return b"ERR UNKNOWN_SHOW_ARGUMENTS\r\n" if parts is None else b"".join(parts)


def listing(broker: Broker, words: list[bytes]) -> Iterator[bytes] | None:
    """The answer to `show jobs` or `show unique jobs` in parts that may be made one by one, if it is one."""
    what = [word.lower() for word in words]
    if what == [b"show", b"jobs"]:
        return _list_jobs(broker)
    if what == [b"show", b"unique", b"jobs"]:
        return _list_uniques(broker)
    return None


def _list_jobs(broker: Broker) -> Iterator[bytes]:
    """Handle, returns to the queue, cancelled, background."""
    for jobs in broker.jobs.by_handle.in_parts():
        rows = [
            b"%b\t%d\t%d\t%d\n" % (job.handle, job.attempts, job.cancelled, job.background) for job in jobs
        ]
        yield b"".join(rows)
    yield _END


def _list_uniques(broker: Broker) -> Iterator[bytes]:
    """A job without a unique has an empty line, so that there is a line for each job."""
    for jobs in broker.jobs.by_handle.in_parts():
        yield b"".join([_shown(job.unique) + b"\n" for job in jobs])
    yield _END


# Jobs and functions


def _cancel(broker: Broker, words: list[bytes]) -> bytes:
    if len(words) < 3:
        return _unknown(words)
    if len(words) > 3 or words[1].lower() != b"job":
        return b"ERR UNKNOWN_ERROR\r\n"
    return _OK if broker.jobs.cancel(words[2]) else b"ERR UNKNOWN_JOB\r\n"


def _create(broker: Broker, words: list[bytes]) -> bytes:
    if len(words) != 3 or words[1].lower() != b"function":
        return _incomplete(words)
    broker.functions.known(words[2])
    return _OK


def _drop(broker: Broker, words: list[bytes]) -> bytes:
    if len(words) != 3 or words[1].lower() != b"function":
        return _incomplete(words)
    function = broker.functions.get(words[2])
    if function is None:
        return b"ERR function not found\r\n"
    if function.workers or function.running:
        return b"ERR there are still connected workers or executing clients\r\n"
    broker.jobs.drop(function)
    return _OK


def _max_queue(broker: Broker, words: list[bytes]) -> bytes:
    """`maxqueue FUNCTION LIMIT` for all priorities, `maxqueue FUNCTION HIGH NORMAL LOW` for each; 0: none."""
    if len(words) == 1:
        return _incomplete(words)
    limits = [0] * PRIORITIES
    for priority, word in enumerate(words[2 : 2 + PRIORITIES]):
        limits[priority] = int(word[:10]) if word.isdigit() else 0
    if len(words) <= 3:
        limits = [limits[0]] * PRIORITIES
    function: Function | None = broker.functions.get(words[1])
    if function is not None:
        function.limits = limits
    return _OK


# The server


def _get_pid(broker: Broker, words: list[bytes]) -> bytes:
    return b"OK %d\n" % broker.pid


def _version(broker: Broker, words: list[bytes]) -> bytes:
    return b"OK " + broker.version.encode() + b"\n"


def _verbose(broker: Broker, words: list[bytes]) -> bytes:
    """`verbose` tells how much is logged; `verbose LEVEL` changes it, which gearmand can't."""
    if len(words) > 1:
        level = words[1].upper()
        if level not in VERBOSITIES:
            return _incomplete(words)
        broker.verbosity = level
        if broker.on_verbosity is not None:
            broker.on_verbosity(level)
    return b"OK " + broker.verbosity + b"\n"


def _journal(broker: Broker, words: list[bytes]) -> bytes:
    """`journal`, which gearmand has not: whether new background jobs can be kept, and why not."""
    if not broker.journal_trouble:
        return b"OK works\n"
    return b"OK fails " + _shown(broker.journal_trouble.encode()) + b"\n"


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
    b"prioritystatus": _priority_status,
    b"workers": _workers,
    b"show": _show,
    b"cancel": _cancel,
    b"create": _create,
    b"drop": _drop,
    b"maxqueue": _max_queue,
    b"getpid": _get_pid,
    b"version": _version,
    b"verbose": _verbose,
    b"journal": _journal,
    b"shutdown": _shutdown,
}
