"""A machine that runs out of things, and very many peers."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack

import pytest

from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import geartrain

from .measuring import connections, connections_beside, cpu_seconds, get_a_job_done, memory

IDLE = 10_000
IDLE_COST = 12_000
"""Bytes that an idle connection may cost the server."""


def test_with_64_descriptors_the_server_accepts_what_it_can_and_goes_on() -> None:
    """At its own limit, and then at the system's, which was lowered behind its back."""
    with geartrain() as server, ExitStack() as stack:
        pid = server.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))
        peers = [
            stack.enter_context(socket.create_connection((server.host, server.port), 10)) for _ in range(200)
        ]
        server.process.wait_for_output("no more connections are accepted for now")
        before = cpu_seconds(pid)
        time.sleep(2)
        spent = cpu_seconds(pid) - before
        # A loop that spins takes all of the two seconds.
        assert spent < 0.5
        for peer in peers:
            peer.close()
        get_a_job_done(server)
        wait_until(lambda: connections(server) == 0, "all of them are gone")
        assert "Traceback" not in server.process.output
        print(f"200 connections at 64 descriptors: {spent:.2f} s of processor in 2 s; then all was well")


def test_ten_thousand_idle_connections_are_cheap() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, most - 200)
    if count < 1000:
        pytest.skip(f"only {most} file descriptors may be open here")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with geartrain() as server, ExitStack() as stack:
            # What is made once is not the price of a connection.
            for _ in range(3):
                get_a_job_done(server)
            before = memory(server.process.pid)
            asker, client, worker = (stack.enter_context(server.connect()) for _ in range(3))
            for _ in range(count):
                stack.enter_context(socket.create_connection((server.host, server.port), 30))
            wait_until(lambda: connections_beside(asker) == count + 2, f"{count} are accepted", 30)
            cost = (memory(server.process.pid) - before) / count
            worker.can_do("f")
            client.submit("f")
            worker.complete(worker.grab().handle)
            client.expect(Packet.WORK_COMPLETE)
            assert cost < IDLE_COST
            print(f"{count:,} idle connections cost {cost:,.0f} bytes each")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
