"""A burst of jobs does not leave the server large, and the collector stays out of its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..harness.processes import wait_until
from ..harness.rawwire import Packet, encode
from ..harness.servers import geartrain

JOBS = 40_000
SIZE = 1_500


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_most_of_the_memory_of_a_burst_is_given_back_when_its_jobs_are_gone() -> None:
    with geartrain() as server, server.connect() as peer:
        peer.sync()
        pid = server.process.pid
        before = resident(pid)
        submission = encode(Packet.SUBMIT_JOB_BG, b"burst", b"", b"x" * SIZE)
        for _ in range(JOBS // 100):
            peer.send_bytes(submission * 100)
            for _ in range(100):
                peer.expect(Packet.JOB_CREATED, ...)
        peak = resident(pid)
        assert peak - before > JOBS * SIZE
        peer.send_text(b"drop function burst")
        assert peer.recv_line().startswith(b"OK")
        # The server looks several times a second.
        wait_until(lambda: resident(pid) - before < 0.2 * (peak - before), "four fifths of it are given back")
