"""A burst of jobs does not leave the server large, and the collector stays out of its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..harness.processes import wait_until
from ..harness.rawwire import Packet, encode
from ..harness.servers import geartrain


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize(("jobs", "size", "window"), [(40_000, 1_500, 100), (16, 8_000_000, 1)])
def test_most_of_the_memory_of_a_burst_is_given_back_when_its_jobs_are_gone(
    jobs: int, size: int, window: int
) -> None:
    with geartrain() as server, server.connect() as peer:
        peer.sync()
        pid = server.process.pid
        before = resident(pid)
        submission = encode(Packet.SUBMIT_JOB_BG, b"burst", b"", b"x" * size)
        for _ in range(jobs // window):
            peer.send_bytes(submission * window)
            for _ in range(window):
                peer.expect(Packet.JOB_CREATED, ...)
        peak = resident(pid)
        assert peak - before > jobs * size
        peer.send_text(b"drop function burst")
        assert peer.recv_line().startswith(b"OK")
        # The server looks several times a second.
        wait_until(lambda: resident(pid) - before < 0.2 * (peak - before), "four fifths of it are given back")
