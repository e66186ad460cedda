"""What a peer is sent, whether the socket takes it at once or the transport has to write it later."""

from __future__ import annotations

import random

from geartrain.server import Server
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, encode

from .running import RunningServer

SIZES = (0, 1, 100, 20_000, 70_000, 300_000)
"""Bytes of a body: some go out in one piece with their header, some do not."""


def _waiting(server: Server) -> int:
    return sum(connection.waiting for connection in server.connections)


def test_what_a_peer_reads_late_comes_whole_and_in_order() -> None:
    chance = random.Random(3)
    with RunningServer() as running, running.connect() as peer:
        for _ in range(3):
            sent: list[bytes] = []

            def ask(times: int, sent: list[bytes] = sent) -> None:
                questions = [
                    b"%06d" % (len(sent) + number) + b"x" * chance.choice(SIZES) for number in range(times)
                ]
                sent += questions
                # Past `send_bytes`, which reads meanwhile.
                packets = [encode(Packet.ECHO_REQ, question) for question in questions]
                peer.socket.sendall(b"".join(packets))

            # Until the socket is full and the transport has some of it, and some more behind that.
            while not running.ask(_waiting):
                ask(3)
            for times in (1, 1, 5):
                ask(times)
            for body in sent:
                peer.expect(Packet.ECHO_RES, body)
            # Here it begins to write to the socket itself again.
            wait_until(lambda: running.ask(_waiting) == 0, "nothing waits any more")
            peer.sync()


def test_a_peer_that_is_gone_is_no_trouble_for_who_writes_to_it() -> None:
    with RunningServer() as running, running.connect() as worker:
        for _ in range(20):
            with running.connect() as client:
                handle = client.submit("f")
                worker.can_do("f")
                worker.grab()
            # Its end may be heard of before, between or after these.
            for data in (b"a", b"b" * 100_000):
                worker.send(Packet.WORK_DATA, handle, data)
            worker.complete(handle, b"c")
            worker.sync()
        wait_until(lambda: running.ask(lambda server: len(server.connections)) == 1, "the clients are gone")
