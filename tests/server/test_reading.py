"""How the server takes what a peer sends."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.harness.rawwire import Packet, encode

from .running import RunningServer

AS_LIBGEARMAN = 32 * 1024
"""Bytes that libgearman sets its sockets' buffers to; Linux doubles them."""
RTT_AT = 68
"""Where TCP_INFO has the smoothed time until an acknowledgement, in microseconds."""


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
