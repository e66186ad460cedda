"""What peers that misbehave cost those that behave, each compared with a quiet server in the same run.

    make bench-faults

Quiet and loaded rounds take turns, so that whatever else the machine does counts for both.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, NamedTuple

from tests.faults.measuring import connections_beside, cpu_seconds, memory
from tests.harness.rawwire import Packet, RawPeer, encode
from tests.harness.servers import JobServer, geartrain

ROUNDS: Final = 5
ROUND: Final = 2.0
"""Seconds of each round."""
PAIRS: Final = 10
"""Clients, and workers, that behave."""


class Measured(NamedTuple):
    """One round of those that behave."""

    rate: float
    p50: float
    p99: float
    cpu: float
    """Seconds of the server's processor time for a job."""


class Crowd:
    """Clients and workers that do one job after the other, as fast as they can."""

    def __init__(self, server: JobServer, stack: ExitStack) -> None:
        self._server = server
        self._clients = [stack.enter_context(server.connect()) for _ in range(PAIRS)]
        self._workers = [stack.enter_context(server.connect()) for _ in range(PAIRS)]
        for worker in self._workers:
            worker.can_do("crowd")
            worker.send(Packet.PRE_SLEEP)
            worker.sync()
        self._submit = encode(Packet.SUBMIT_JOB, "crowd", "", b"x" * 100)
        self._grab, self._sleep = encode(Packet.GRAB_JOB), encode(Packet.PRE_SLEEP)

    def measure(self, seconds: float = ROUND) -> Measured:
        """Work for a while."""
        before, began = cpu_seconds(self._server.process.pid), time.monotonic()
        latencies: list[float] = []
        poll = select.poll()
        by_descriptor: dict[int, RawPeer] = {}
        for peer in (*self._clients, *self._workers):
            poll.register(peer.socket, select.POLLIN)
            by_descriptor[peer.socket.fileno()] = peer
        clients = set(map(id, self._clients))
        sent: dict[int, float] = {}
        for client in self._clients:
            sent[id(client)] = time.monotonic()
            client.socket.sendall(self._submit)
        while sent:
            over = time.monotonic() > began + seconds
            for descriptor, _ in poll.poll(5000):
                peer = by_descriptor[descriptor]
                peer._read()
                while (packet := _take(peer)) is not None:
                    type, body = packet
                    if type == Packet.NOOP:
                        peer.socket.sendall(self._grab)
                    elif type == Packet.NO_JOB:
                        peer.socket.sendall(self._sleep)
                    elif type == Packet.JOB_ASSIGN:
                        handle = body.split(b"\0", 1)[0]
                        peer.socket.sendall(encode(Packet.WORK_COMPLETE, handle, b"y") + self._grab)
                    elif type == Packet.WORK_COMPLETE and id(peer) in clients:
                        now = time.monotonic()
                        latencies.append(now - sent.pop(id(peer)))
                        if not over:
                            sent[id(peer)] = now
                            peer.socket.sendall(self._submit)
        took = time.monotonic() - began
        cpu = cpu_seconds(self._server.process.pid) - before
        latencies.sort()
        return Measured(
            len(latencies) / took,
            latencies[len(latencies) // 2],
            latencies[int(len(latencies) * 0.99)],
            cpu / len(latencies),
        )


def _take(peer: RawPeer) -> tuple[int, bytes] | None:
    """The next packet that is there completely."""
    received = peer._received
    if len(received) < 12:
        return None
    size = 12 + int.from_bytes(received[8:12], "big")
    if len(received) < size:
        return None
    packet = int.from_bytes(received[4:8], "big"), bytes(received[12:size])
    del received[:size]
    return packet


def compare(crowd: Crowd, load: Callable[[], AbstractContextManager[object]]) -> tuple[Measured, Measured]:
    """Rounds without and with a load, in turn; the medians of both."""
    quiet: list[Measured] = []
    loaded: list[Measured] = []
    crowd.measure(0.5)
    for _ in range(ROUNDS):
        quiet.append(crowd.measure())
        with load():
            loaded.append(crowd.measure())
    return _median(quiet), _median(loaded)


def _median(rounds: list[Measured]) -> Measured:
    return Measured(*(statistics.median(values) for values in zip(*rounds, strict=True)))


def show(what: str, quiet: Measured, loaded: Measured) -> None:
    print(f"\n{what}")
    for name, measured in (("quiet", quiet), ("loaded", loaded)):
        print(
            f"  {name:7}{measured.rate:9,.0f} jobs/s   p50 {measured.p50 * 1e3:6.2f} ms   "
            f"p99 {measured.p99 * 1e3:6.2f} ms   {measured.cpu * 1e6:6.1f} µs of server CPU for a job"
        )
    print(
        f"  rate 1:{quiet.rate / loaded.rate:.2f}   p50 {loaded.p50 / quiet.p50:.2f}×   "
        f"p99 {loaded.p99 / quiet.p99:.2f}×   CPU {loaded.cpu / quiet.cpu:.2f}×"
    )


def slow_reader() -> None:
    """A client that never reads while a worker sends it a gigabyte."""
    with geartrain("--set=timeouts.reader=60s") as server, ExitStack() as stack:
        crowd = Crowd(server, stack)
        most = [0]
        offered = [0]

        @contextmanager
        def offering() -> Iterator[None]:
            with server.connect() as client, server.connect() as worker:
                worker.can_do("f")
                handle = client.submit("f")
                worker.grab()
                chunk = encode(Packet.WORK_DATA, handle, b"x" * 1_000_000)
                over = threading.Event()

                def offer() -> None:
                    with contextlib.suppress(AssertionError, OSError):
                        for _ in range(1000):
                            if over.is_set():
                                return
                            worker.send_bytes(chunk)
                            offered[0] += 1

                thread = threading.Thread(target=offer)
                thread.start()
                try:
                    yield
                    most[0] = max(most[0], memory(server.process.pid))
                finally:
                    over.set()
                    client.close()
                    worker.socket.shutdown(socket.SHUT_RDWR)
                    thread.join()

        before = memory(server.process.pid)
        quiet, loaded = compare(crowd, offering)
        show("a client that never reads while a worker offers it 1 GB", quiet, loaded)
        grown = (most[0] - before) / 1e6
        print(f"  memory grew by {grown:.1f} MB, {offered[0] / ROUNDS:.0f} MB were taken from the worker")


def idle_connections(count: int = 10_000) -> None:
    with geartrain() as server, ExitStack() as stack:
        crowd = Crowd(server, stack)
        asker = stack.enter_context(server.connect())
        crowd.measure(1.0)
        before = memory(server.process.pid)
        costs: list[float] = []

        @contextmanager
        def idle() -> Iterator[None]:
            with ExitStack() as peers:
                for _ in range(count):
                    peers.enter_context(socket.create_connection((server.host, server.port), 30))
                while connections_beside(asker) < count:
                    time.sleep(0.05)
                costs.append((memory(server.process.pid) - before) / count)
                yield
            while connections_beside(asker) > 3 * PAIRS:
                time.sleep(0.05)

        quiet, loaded = compare(crowd, idle)
        show(f"{count:,} idle connections beside {2 * PAIRS} active ones", quiet, loaded)
        print(f"  each costs {costs[0]:,.0f} bytes")


def dribblers(count: int = 1000) -> None:
    with geartrain() as server, ExitStack() as stack:
        crowd = Crowd(server, stack)
        packet = encode(Packet.ECHO_REQ, b"x" * 1000)

        @contextmanager
        def dribbling() -> Iterator[None]:
            over = threading.Event()
            with ExitStack() as peers:
                connected = [
                    peers.enter_context(socket.create_connection((server.host, server.port), 30))
                    for _ in range(count)
                ]

                def dribble() -> None:
                    position = 0
                    while not over.is_set():
                        began = time.monotonic()
                        byte = packet[position : position + 1]
                        # Spread over the tenth of a second, as they would be.
                        for start in range(0, count, 50):
                            for peer in connected[start : start + 50]:
                                peer.send(byte)
                            time.sleep(0.003)
                        position = (position + 1) % len(packet)
                        time.sleep(max(0.0, began + 0.1 - time.monotonic()))

                thread = threading.Thread(target=dribble)
                thread.start()
                try:
                    yield
                finally:
                    over.set()
                    thread.join()

        quiet, loaded = compare(crowd, dribbling)
        show(f"{count:,} peers that send a byte each 0.1 s", quiet, loaded)


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    slow_reader()
    idle_connections(min(10_000, hard - 200))
    dribblers()


if __name__ == "__main__":
    main()
