"""What a server holds at this moment, for the log, for `geartrain doctor`, and for whoever asks it."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..wire.text import text_of

if TYPE_CHECKING:
    from .server import Server

MOST: Final = 100
"""Functions and connections that are told of one by one: those with the most jobs, those that wait most."""


def report(server: Server) -> dict[str, Any]:
    """The numbers of a server, and its busiest functions and connections."""
    broker, options = server.broker, server.options
    functions = sorted(broker.functions.values(), key=lambda function: -function.total)
    connections = sorted(server.connections, key=lambda connection: -connection.waiting)
    return {
        "version": broker.version,
        "pid": broker.pid,
        "seconds": round(time.time() - server.began_at, 1),
        "memory": memory(),
        "descriptors": len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else None,
        "descriptor_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "addresses": [str(address) for address in server.addresses],
        "tls": bool(options.tls.certificate),
        "access": bool(options.access),
        "backlog": options.backlog,
        "journal": server.journal.name,
        "journal_trouble": server.commits.failing,
        "jobs": len(broker.jobs),
        "job_bytes": broker.jobs.bytes,
        "job_bytes_limit": options.limits.job_bytes,
        "running": broker.running,
        "dead": len(broker.jobs.dead),
        "expired": sum(function.expired for function in broker.functions.values()),
        "quarantine": len(broker.quarantine),
        "functions": len(broker.functions),
        "functions_limit": options.limits.functions,
        "connections": len(server.connections),
        "connections_limit": server.max_connections,
        "workers": sum(bool(peer.abilities) for peer in broker.peers),
        "clogged": len(server.clogged),
        "unfinished_bytes": server.unfinished,
        "by_function": [
            {
                "function": text_of(function.name),
                "waiting": function.waiting,
                "running": function.running,
                "total": function.total,
                "bytes": function.bytes,
                "workers": function.workers,
            }
            for function in functions[:MOST]
        ],
        "by_connection": [
            {
                "peer": connection.peer.address,
                "fd": connection.peer.fd,
                "id": text_of(connection.peer.id),
                "abilities": len(connection.peer.abilities),
                "running": len(connection.peer.running),
                "waits_for": len(connection.peer.waits_for),
                "unread": connection.waiting,
                "silent": round(server.now - connection.heard_at, 1),
            }
            for connection in connections[:MOST]
        ],
    }


def memory() -> int | None:
    """Bytes of memory that this process has resident, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * resource.getpagesize()
