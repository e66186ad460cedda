"""The job servers that tests talk to: ours and two foreign ones, each on a free port of loopback."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import pytest

from .processes import Process, accepts, free_port
from .rawwire import RawPeer

HOST: Final = "127.0.0.1"
GEARMAND_C: Final = "/usr/sbin/gearmand"
"""Debian's gearman-job-server."""
GEARMAND_PERL: Final = "/usr/bin/gearmand"
"""Debian's gearman-server."""

_START_ATTEMPTS: Final = 3


def require(peer: str | bool, reason: str) -> None:
    """Skip the test if a peer is missing, or fail it where all peers have to be there.

    Args:
        peer: the name or path of a program, or whether the peer is there.
        reason: what is missing and how to get it.

    `GEARTRAIN_REQUIRE_PEERS=1` in the environment makes a missing peer a failure.
    """
    if shutil.which(peer) if isinstance(peer, str) else peer:
        return
    if os.environ.get("GEARTRAIN_REQUIRE_PEERS") == "1":
        pytest.fail(f"a peer is missing: {reason}", pytrace=False)
    pytest.skip(reason)


@dataclass(frozen=True)
class JobServer:
    """A job server that runs."""

    kind: str
    host: str
    port: int
    process: Process

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"{self.host}:{self.port}"

    def connect(self, timeout: float | None = None) -> RawPeer:
        """A raw connection to it; close it, or use it as a context manager."""
        return RawPeer(self.host, self.port) if timeout is None else RawPeer(self.host, self.port, timeout)


@contextmanager
def geartrain(*options: str, port: int | None = None) -> Iterator[JobServer]:
    """Our own job server. `options` are further ones of `geartrain serve`."""
    with _started(
        "geartrain",
        lambda port: [
            *(sys.executable, "-m", "geartrain", "serve", "--listen", HOST),
            *("--port", str(port), "--journal", "memory", *options),
        ],
        port,
    ) as server:
        yield server


@contextmanager
def gearmand_c(*options: str, port: int | None = None) -> Iterator[JobServer]:
    """gearmand, the server in C. `options` are further ones of its own."""
    require(GEARMAND_C, "gearmand (C) is missing: apt-get install gearman-job-server")
    with _started(
        "gearmand-c",
        lambda port: [GEARMAND_C, f"--listen={HOST}", f"--port={port}", "--log-file=stderr", *options],
        port,
    ) as server:
        yield server


@contextmanager
def gearmand_perl(*options: str, port: int | None = None) -> Iterator[JobServer]:
    """Gearman::Server, the server in Perl. `options` are further ones of its own."""
    require(GEARMAND_PERL, "gearmand (Perl) is missing: apt-get install gearman-server")
    with _started(
        "gearmand-perl",
        lambda port: [GEARMAND_PERL, f"--listen={HOST}", f"--port={port}", *options],
        port,
    ) as server:
        yield server


SERVERS: Final[dict[str, Callable[..., AbstractContextManager[JobServer]]]] = {
    "geartrain": geartrain,
    "gearmand-c": gearmand_c,
    "gearmand-perl": gearmand_perl,
}
"""The job servers there are, by kind."""


@contextmanager
def _started(kind: str, command: Callable[[int], list[str]], port: int | None) -> Iterator[JobServer]:
    """Start a server and wait until it accepts connections, on another port if somebody took the first."""
    for attempt in range(_START_ATTEMPTS):
        chosen = port or free_port(HOST)
        with Process(*command(chosen)) as process:
            try:
                process.wait_until(partial(accepts, HOST, chosen), f"{HOST}:{chosen} accepts connections")
            except AssertionError:
                if port or process.returncode is None or attempt == _START_ATTEMPTS - 1:
                    raise
                continue
            yield JobServer(kind, HOST, chosen, process)
            return
