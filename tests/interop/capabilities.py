"""The matrix: who works with whom (its rows), at what (its columns), and what cannot be (its gaps).

A cell that is no gap is a test. A gap is something that a foreign library or server has no means for; there
is no other reason to leave one out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Capability(Enum):
    """A column; the value is its heading."""

    FOREGROUND = "foreground"
    HIGH = "high"
    LOW = "low"
    BACKGROUND = "background"
    HIGH_BACKGROUND = "high background"
    LOW_BACKGROUND = "low background"
    COALESCING = "unique"
    STATUS = "status"
    POLLING = "polled status"
    DATA = "data"
    WARNING = "warning"
    EXCEPTION = "exception"
    FAIL = "fail"
    BINARY = "NULs"
    LARGE = "16 MB"
    EMPTY = "empty"
    DEATH = "worker dies"


class Server(Enum):
    """A job server; the value is its name in `tests.harness.servers.SERVERS`."""

    GEARTRAIN = "geartrain"
    C = "gearmand-c"
    PERL = "gearmand-perl"


class Peer(Enum):
    """Who can be client or worker; the value is the name in test ids."""

    GEARTRAIN = "geartrain"
    RAW = "raw"
    TOOL = "tool"
    LIBGEARMAN = "libgearman"
    PERL = "perl"
    PHP = "php"
    NODE = "node"
    GEAR = "gear"


FOREIGN: Final = (Peer.TOOL, Peer.LIBGEARMAN, Peer.PERL, Peer.PHP, Peer.NODE, Peer.GEAR)

TITLES: Final[dict[Peer | Server, str]] = {
    Server.GEARTRAIN: "Geartrain",
    Server.C: "gearmand (C)",
    Server.PERL: "Gearman::Server (Perl)",
    Peer.GEARTRAIN: "Geartrain",
    Peer.RAW: "plain socket",
    Peer.TOOL: "`gearman` tool",
    Peer.LIBGEARMAN: "libgearman (C)",
    Peer.PERL: "Gearman (Perl)",
    Peer.PHP: "gearman (PHP)",
    Peer.NODE: "gearmanode (Node.js)",
    Peer.GEAR: "gear (Python)",
}
"""Their names on the page."""


@dataclass(frozen=True)
class Row:
    """Three that work together."""

    client: Peer
    server: Server
    worker: Peer

    @property
    def id(self) -> str:
        """The row in test ids and file names."""
        return f"{self.client.value}+{self.server.value}+{self.worker.value}"


ROWS: Final = (
    Row(Peer.GEARTRAIN, Server.GEARTRAIN, Peer.GEARTRAIN),
    *(
        row
        for foreign in FOREIGN
        for row in (
            Row(foreign, Server.GEARTRAIN, Peer.GEARTRAIN),
            Row(foreign, Server.GEARTRAIN, Peer.RAW),
            Row(Peer.GEARTRAIN, Server.GEARTRAIN, foreign),
            Row(Peer.RAW, Server.GEARTRAIN, foreign),
        )
    ),
    *(
        row
        for server in (Server.C, Server.PERL)
        for row in (
            Row(Peer.GEARTRAIN, server, Peer.GEARTRAIN),
            Row(Peer.GEARTRAIN, server, Peer.RAW),
            Row(Peer.RAW, server, Peer.GEARTRAIN),
        )
    ),
)


@dataclass(frozen=True)
class Remark:
    """Something about capabilities of a client, a server or a worker, whichever is given."""

    reason: str
    capabilities: frozenset[Capability]
    client: Peer | None = None
    server: Server | None = None
    worker: Peer | None = None

    def covers(self, row: Row, capability: Capability) -> bool:
        """Whether it is about that cell."""
        return capability in self.capabilities and (
            self.client is row.client or self.server is row.server or self.worker is row.worker
        )


GAPS: Final = (
    Remark(
        "The `gearman` tool does not ask for exceptions, so it is told that the job failed.",
        frozenset({Capability.EXCEPTION}),
        client=Peer.TOOL,
    ),
    Remark(
        "The `gearman` tool has no option that asks for the status of a job.",
        frozenset({Capability.POLLING}),
        client=Peer.TOOL,
    ),
    Remark(
        "A command that the `gearman` tool runs can answer, send data and fail, and nothing else.",
        frozenset({Capability.STATUS, Capability.WARNING, Capability.EXCEPTION}),
        worker=Peer.TOOL,
    ),
    Remark(
        "PHP's extension refuses to submit an empty workload.",
        frozenset({Capability.EMPTY}),
        client=Peer.PHP,
    ),
    Remark(
        "Gearman::Server knows no low priority, and in the background no high one.",
        frozenset({Capability.LOW, Capability.HIGH_BACKGROUND, Capability.LOW_BACKGROUND}),
        server=Server.PERL,
    ),
    Remark(
        "Gearman::Server does not pass on data and warnings.",
        frozenset({Capability.DATA, Capability.WARNING}),
        server=Server.PERL,
    ),
    Remark(
        "Gearman::Server fails a job whose worker dies.",
        frozenset({Capability.DEATH}),
        server=Server.PERL,
    ),
)
"""What one of the three has no means for, and why: these cells are left out."""

LIMITS: Final = (
    Remark(
        "Tried with 1 MB: the `gearman` tool takes a minute to read 16 MB.",
        frozenset({Capability.LARGE}),
        client=Peer.TOOL,
    ),
    Remark(
        "Tried with 1 MB: the `gearman` tool takes as long to read what a command prints.",
        frozenset({Capability.LARGE}),
        worker=Peer.TOOL,
    ),
)
"""What works, though not in full."""


def gap(row: Row, capability: Capability) -> Remark | None:
    """Why that cell is left out; None if it is a test."""
    return next((remark for remark in GAPS if remark.covers(row, capability)), None)


def limit(row: Row, capability: Capability) -> Remark | None:
    """What is to be said about a cell that is a test; None in most of them."""
    return next((remark for remark in LIMITS if remark.covers(row, capability)), None)
