"""What can be chosen about a job server, with the defaults that a stranger can trust.

One model for the configuration file, the environment and the command line (see `config.py`); the page
docs/configuration.md is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from ..broker.limits import Limits as BrokerLimits
from ..broker.policy import MAX_TIMEOUTS
from ..wire.address import Address, parse_address
from ..wire.packets import DEFAULT_PORT
from ..wire.parser import MAX_PACKET

BYTES: Final = "bytes"
SECONDS: Final = "seconds"
"""Units: in a file such a value is a number, or a text such as `"64 MiB"` or `"30s"`."""

Tables = dict[str, dict[str, Any]]
"""Settings by name."""

MAX_KEEPALIVE: Final = 32767
MAX_PROBES: Final = 127
MAX_BACKLOG: Final = 2**31 - 1
"""Limits of the kernel: seconds, probes, connections."""

_MIB: Final = 1024 * 1024


def _option(default: Any, help: str, unit: str = "", most: int = 0) -> Any:
    metadata = {"help": help, "unit": unit, "most": most}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server takes at most, so that no peer can exhaust it. 0 means no limit."""

    packet: int = _option(MAX_PACKET, "Of one packet's body; checked from its header.", BYTES)
    unfinished: int = _option(512 * _MIB, "Of all packets that have not arrived completely.", BYTES)
    outbox: int = _option(
        2 * MAX_PACKET, "That wait for one peer to read them; a peer with more is dropped.", BYTES
    )
    outboxes: int = _option(
        1024 * _MIB, "That wait for all peers; beyond it those with the most are dropped.", BYTES
    )
    connections: int = _option(
        0, "In all; beyond it nobody is accepted until one ends. 0: what the file descriptors allow."
    )
    connections_per_address: int = _option(0, "From one address; more are closed at once.")
    jobs: int = _option(0, "In all; beyond it submissions are answered QUEUE_ERROR.")
    job_bytes: int = _option(2048 * _MIB, "Of all jobs, counting 512 bytes for each beside its data.", BYTES)
    function_jobs: int = _option(0, "Of one function.")
    function_bytes: int = _option(0, "Of one function's jobs.", BYTES)
    functions: int = _option(100_000, "In all; those without jobs and workers make room for new ones.")
    abilities: int = _option(10_000, "Functions that one worker may announce.")

    def for_broker(self) -> BrokerLimits:
        """Those that are the broker's business."""
        return BrokerLimits(
            max_jobs=self.jobs,
            max_bytes=self.job_bytes,
            max_function_jobs=self.function_jobs,
            max_function_bytes=self.function_bytes,
            max_functions=self.functions,
            max_abilities=self.abilities,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long the server waits. 0 means for ever."""

    handshake: float = _option(10.0, "For a new connection's TLS handshake.", SECONDS)
    packet: float = _option(60.0, "For the next byte of a packet that has begun.", SECONDS)
    idle: float = _option(
        0.0, "For the next packet of a peer that neither works nor waits for a job.", SECONDS
    )
    reader: float = _option(
        10.0, "For a peer that does not read and thereby holds up a worker; then it is dropped.", SECONDS
    )
    stalled: float = _option(
        300.0, "For a peer to take any of the bytes sent to it; then the kernel ends it.", SECONDS
    )
    shutdown: float = _option(30.0, "For running jobs to end when the server is told to stop.", SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """How the kernel finds out that a silent TCP peer is gone."""

    idle: int = _option(30, "Silence before the first probe.", SECONDS, MAX_KEEPALIVE)
    interval: int = _option(10, "Between two probes.", SECONDS, MAX_KEEPALIVE)
    probes: int = _option(3, "Probes without an answer after which the peer is gone.", most=MAX_PROBES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Encryption, 1.2 or newer. The files are read again at SIGHUP."""

    certificate: str = _option("", "The server's certificate and its chain, a PEM file; empty: no TLS.")
    key: str = _option("", "Its private key, a PEM file; empty: it is in the certificate's file.")
    client_ca: str = _option("", "The authorities that sign the peers' certificates, a PEM file; empty: any.")
    client_required: bool = _option(
        True, "With `client_ca` a peer must show a certificate; otherwise it may."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, how, and where."""

    level: str = _option("info", "The least important kind: debug, info, warning, error or critical.")
    format: str = _option("auto", "`human`, `json`, or `auto`: human on a terminal, JSON elsewhere.")
    file: str = _option("", "Where it is appended; opened anew at SIGHUP. Empty: standard error.")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How one job server runs."""

    listen: tuple[str, ...] = _option(
        ("127.0.0.1",), "Where it listens: `host`, `host:port`, `[::1]:4730`, `unix:/path`, `tls:host:port`."
    )
    port: int = _option(DEFAULT_PORT, "Of the addresses that name none; 0: the system chooses.", most=65535)
    journal: str = _option("memory", "Where background jobs survive; `memory`: nowhere.")
    backlog: int = _option(
        1024, "Connections that the kernel holds until they are accepted.", most=MAX_BACKLOG
    )
    access: str = _option("", "The file that says who may do what; empty: everybody may do everything.")
    job_retries: int = _option(0, "Attempts of a job that loses its workers, if its function sets none.")
    job_timeouts: int = _option(
        MAX_TIMEOUTS,
        "Time-outs in a row after which a job is given up, if its function sets no attempts; 0: never.",
    )
    round_robin: bool = _option(False, "A function that a worker was served from comes last next time.")
    worker_wakeup: int = _option(1, "Sleeping workers that are woken for one job; 0: all.")
    keep_results: float = _option(
        0.0,
        "That the outcome of a background job can be asked for, if its function sets nothing else.",
        SECONDS,
    )
    time_zone: str = _option("", "Of SUBMIT_JOB_SCHED, and of schedules that name none; empty: the system's.")
    exceptions: bool = _option(False, "Clients get exceptions without having asked for them.")
    handle_prefix: str = _option("", "What handles begin with; empty: `H:` and the host's name.")
    user: str = _option("", "The user to become once it has its addresses and keys.")
    pid_file: str = _option("", "Where it writes its process id.")
    functions: Tables = _option(  # noqa: RUF009 - it is a field
        dict, 'Settings of functions by name, such as `report = {max_attempts = 5, timeout = "30s"}`.'
    )
    schedules: Tables = _option(  # noqa: RUF009
        dict, 'Recurring jobs by name, such as `nightly = {cron = "0 3 * * *", function = "report"}`.'
    )
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    keepalive: Keepalive = field(default_factory=Keepalive)
    tls: Tls = field(default_factory=Tls)
    log: Log = field(default_factory=Log)

    def addresses(self) -> list[Address]:
        """The addresses to listen on, each with whether TLS is spoken there.

        With a certificate that is at those written `tls:`, or if there are none, at all but Unix sockets.

        Raises:
            ValueError: one of them can't be read, or there is no certificate; with a sentence.
        """
        found = [parse_address(text, self.port) for text in self.listen]
        chosen = [address for address in found if address.tls]
        if chosen and not self.tls.certificate:
            raise ValueError(f"listen: {chosen[0]} needs a certificate, tls.certificate names none")
        if self.tls.certificate and not chosen:
            return [address._replace(tls=not address.path) for address in found]
        return found
