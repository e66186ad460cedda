"""How the server takes what a peer sends."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from tests.harness.rawwire import Packet, encode

from .running import RunningServer

AS_LIBGEARMAN = 32 * 1024
"""Bytes that libgearman sets its sockets' buffers to; Linux doubles them."""
RTT_AT = 68
"""Where TCP_INFO has the smoothed time until an acknowledgement, in microseconds."""
UNACKED_AT = 24
"""Where TCP_INFO has the number of unacknowledged segments."""
DELAY = 0.03
"""Seconds; a delayed acknowledgement comes 40 ms after its segment."""


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="needs Linux")
def test_a_large_packet_from_a_small_buffer_is_acknowledged_as_it_comes() -> None:
    with RunningServer() as running, socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AS_LIBGEARMAN)
        peer.settimeout(30)
        peer.connect((running.host, running.port))
        peer.sendall(encode(Packet.SUBMIT_JOB_BG, "f", "", bytes(8 * 1024 * 1024)))
        assert peer.recv(4) == b"\0RES"
        (rtt,) = struct.unpack_from("I", peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), RTT_AT)
        # Left to itself the system takes its 40 ms for each.
        assert rtt < 20_000


def _unacknowledged(peer: socket.socket) -> int:
    """Segments on their way from a peer to the server."""
    (unacked,) = struct.unpack_from(
        "I", peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), UNACKED_AT
    )
    return int(unacked)


class SmallWriter:
    """A peer with Nagle's algorithm on, like the libraries of Ruby and PHP."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        self.slow = 0

    def write(self, data: bytes) -> None:
        """Send some bytes and wait for their acknowledgement; count those that took the kernel's delay."""
        began = time.monotonic()
        self.socket.sendall(data)
        while _unacknowledged(self.socket):
            assert time.monotonic() - began < 10
        self.slow += time.monotonic() - began > DELAY

    def read(self) -> tuple[int, bytes]:
        """The next packet's type and body."""
        head = self.socket.recv(12, socket.MSG_WAITALL)
        return int.from_bytes(head[4:8], "big"), self.socket.recv(
            int.from_bytes(head[8:], "big"), socket.MSG_WAITALL
        )


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="needs Linux")
def test_small_writes_without_an_answer_are_acknowledged_at_once() -> None:
    rounds = 20
    with RunningServer() as running:
        address = (running.host, running.port)
        worker, client = SmallWriter(address), SmallWriter(address)
        for packet in (
            encode(Packet.SET_CLIENT_ID, "small"),
            encode(Packet.CAN_DO, "f"),
            encode(Packet.CAN_DO_TIMEOUT, "g", "60000"),
            encode(Packet.CANT_DO, "g"),
            encode(Packet.PRE_SLEEP),
        ):
            worker.write(packet)
        for _ in range(rounds):
            packet = encode(Packet.SUBMIT_JOB, "f", "", b"workload")
            client.write(packet[:12])  # the header, and the body as a write of its own
            client.write(packet[12:20])
            client.socket.sendall(packet[20:])
            assert client.read()[0] == Packet.JOB_CREATED
            worker.socket.sendall(encode(Packet.GRAB_JOB))
            kind, body = worker.read()
            while kind != Packet.JOB_ASSIGN:
                kind, body = worker.read()
            handle = body.partition(b"\0")[0]
            worker.write(encode(Packet.WORK_STATUS, handle, "1", "2"))
            worker.write(encode(Packet.WORK_DATA, handle, b"data"))
            worker.write(encode(Packet.WORK_WARNING, handle, b"warning"))
            worker.write(encode(Packet.WORK_COMPLETE, handle, b"result"))
            worker.write(encode(Packet.PRE_SLEEP))
            for expected in (
                Packet.WORK_STATUS,
                Packet.WORK_DATA,
                Packet.WORK_WARNING,
                Packet.WORK_COMPLETE,
            ):
                assert client.read()[0] == expected
        # A busy machine may be late now and then; the kernel's delay would make every one of them late.
        assert worker.slow < rounds, worker.slow
        assert client.slow < rounds // 2, client.slow
        worker.socket.close()
        client.socket.close()
