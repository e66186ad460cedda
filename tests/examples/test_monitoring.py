"""The monitoring example."""

from __future__ import annotations

import sys

from tests.harness.processes import Process
from tests.harness.rawwire import Packet
from tests.harness.servers import geartrain


def test_the_monitor_shows_what_waits_and_fails_when_too_much_does() -> None:
    with geartrain() as server, server.connect() as peer:
        for _ in range(3):
            peer.send(Packet.SUBMIT_JOB_BG, "resize", "", "picture")
            peer.expect(Packet.JOB_CREATED)
        environment = {"GEARMAN_SERVERS": server.address}
        for most, code in (("3", 0), ("2", 1)):
            with Process(sys.executable, "examples/monitoring/monitor.py", most, env=environment) as monitor:
                assert monitor.wait() == code, monitor.report()
                assert "resize: 3 queued, 0 running, 0 workers" in monitor.stdout
                assert ("more than 2 jobs wait: resize" in monitor.stderr) == (code == 1)
