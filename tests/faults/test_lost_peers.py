"""Peers that go without a word, or with a bad one."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import sys

import pytest

from tests.harness.processes import Process, wait_until
from tests.harness.rawwire import Packet, RawPeer, encode
from tests.harness.servers import geartrain

from .measuring import connections, get_a_job_done


def _reset(peer: RawPeer) -> None:
    """End a connection with RST, as a crashed machine that came up again does."""
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def test_connections_reset_amid_a_packet_leave_nothing() -> None:
    with geartrain() as server, server.connect() as client:
        handle = client.submit("f", "w")
        packet = encode(Packet.SUBMIT_JOB, "f", "", b"x" * 1000)
        for size in range(1, len(packet), 50):
            peer = server.connect()
            peer.send_bytes(packet[:size])
            _reset(peer)
        worker = server.connect()
        worker.can_do("f")
        assert worker.grab().handle == handle
        worker.send_bytes(encode(Packet.WORK_COMPLETE, handle, "done")[:-2])
        _reset(worker)
        wait_until(lambda: connections(server) == 1, "nobody but the client is left")
        wait_until(lambda: client.status(handle).running == b"0", "the job is queued again")
        get_a_job_done(server)
        assert "Traceback" not in server.process.output
        print("21 connections were reset amid a packet: none is left, and the job is back")


def _may_make_a_network() -> bool:
    unshare, ip = shutil.which("unshare"), shutil.which("ip")
    return (
        bool(unshare and ip)
        and not subprocess.run(
            ["unshare", "--map-root-user", "--net", "ip", "link", "set", "lo", "up"], capture_output=True
        ).returncode
    )


@pytest.mark.skipif(not _may_make_a_network(), reason="needs a network namespace of its own: unshare and ip")
def test_peers_behind_a_cut_cable_are_noticed() -> None:
    """In a network of its own, whose only link goes down: nothing arrives any more, and nobody says so."""
    program = (sys.executable, "-m", "tests.faults.cut_cable")
    with Process("unshare", "--map-root-user", "--net", *program) as run:
        assert run.wait(60) == 0, run.report()
        print(run.stdout.strip())
        assert "the silent worker's job went back" in run.stdout
        assert "the worker that was sent a job is gone" in run.stdout
