"""Runs in a network of its own: a server and its peers, and then the link between them goes down."""

from __future__ import annotations

import subprocess
import time

from geartrain.server import Server, ServerOptions
from geartrain.server.options import Keepalive, Timeouts
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet
from tests.server.running import RunningServer


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    options = ServerOptions(
        port=0, keepalive=Keepalive(idle=1, interval=1, probes=2), timeouts=Timeouts(stalled=3.0)
    )
    with RunningServer(options) as running:
        silent, sent = running.connect(), running.connect()
        client = running.connect()
        handle = client.submit("f", type=Packet.SUBMIT_JOB_BG)
        silent.can_do("f")
        silent.grab()
        sent.can_do("g")
        sent.send(Packet.PRE_SLEEP)
        sent.sync()
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        cut = time.monotonic()
        # It is woken for a job, and the NOOP is never acknowledged.
        running.ask(_submit)
        wait_until(
            lambda: running.ask(lambda server: _waits(server, handle)), "the job went back", timeout=30
        )
        print(f"the silent worker's job went back after {time.monotonic() - cut:.1f} s")
        wait_until(lambda: running.ask(lambda server: not server.connections), "all are gone", timeout=30)
        print(f"the worker that was sent a job is gone after {time.monotonic() - cut:.1f} s")
        for peer in (silent, sent, client):
            peer.close()


def _submit(server: Server) -> None:
    server.broker.submissions.queue(b"g", b"")
    server.attend()


def _waits(server: Server, handle: bytes) -> bool:
    job = server.broker.jobs.by_handle.get(handle)
    return job is not None and job.worker is None


if __name__ == "__main__":
    main()
