"""What a process takes, and a peer that behaves while others do not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import JobServer

MB: Final = 1_000_000
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes that a process has resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def get_a_job_done(server: JobServer) -> None:
    """A client and a worker that behave, on connections of their own."""
    with server.connect() as client, server.connect() as worker:
        worker.can_do("canary")
        client.submit("canary", "tweet")
        worker.complete(worker.grab().handle, "done")
        client.expect(Packet.WORK_COMPLETE, ..., "done")


def connections(server: JobServer) -> int:
    """How many connections the server has, but for the one that asks."""
    with server.connect() as asker:
        return connections_beside(asker)


def connections_beside(asker: RawPeer) -> int:
    """How many connections the server has beside this one."""
    asker.send_text("workers")
    return len(asker.recv_lines()) - 1
