"""When the server has the kernel acknowledge a peer's bytes at once, and when an answer does so."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, cast

import pytest
import trustme

from geartrain import tls_context
from geartrain.broker import Broker
from geartrain.server import Server, ServerOptions
from geartrain.server.connection import Connection
from geartrain.server.options import Tls
from geartrain.server.writer import Writer
from tests.harness.rawwire import Packet, encode

from .running import RunningServer

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="needs Linux")

RTT_AT: Final = 68
"""Where TCP_INFO has the smoothed time until an acknowledgement, in microseconds."""
DELAYED: Final = 5_000
"""Microseconds: with delayed acknowledgements the client's time is 20,000, with prompt ones below 500."""
ROUNDS: Final = 20

GRAB: Final = encode(Packet.GRAB_JOB)
PRE_SLEEP: Final = encode(Packet.PRE_SLEEP)


class CountingSocket:
    """The server's end of a connection; counts the acknowledgements that the kernel is asked for."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self.family = family
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self.acknowledgements = 0

    def fileno(self) -> int:
        return self._ours.fileno()

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option, value) == (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self.acknowledgements += 1

    def read(self) -> bytes:
        """All bytes that the server has written."""
        try:
            return self._theirs.recv(1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


class Transport:
    """As much of a transport as a connection needs."""

    def __init__(self, socket: CountingSocket) -> None:
        self._socket = socket

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return self._socket if name == "socket" else None

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        raise AssertionError("the socket takes all")


class Peer:
    """A peer whose chunks reach the server exactly as they are sent."""

    def __init__(self, server: Server, family: socket.AddressFamily) -> None:
        self.socket = CountingSocket(family)
        self._connection = Connection(server, "127.0.0.1")
        self._connection.connection_made(cast(asyncio.Transport, Transport(self.socket)))

    def count(self, *chunks: bytes) -> int:
        """Return how many acknowledgements some chunks are worth."""
        before = self.socket.acknowledgements
        for chunk in chunks:
            self._connection.data_received(chunk)
        return self.socket.acknowledgements - before

    def job(self) -> bytes:
        """Grab a job and return its handle."""
        self.socket.read()
        self.count(GRAB)
        return self.socket.read()[12:].partition(b"\0")[0]


Connect = Callable[..., Peer]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connects peers to a server that does not listen."""
    server = Server(ServerOptions(journal="memory"))
    server.broker = Broker("host", 1_790_000_000_000_000)
    server.writer = Writer(server.broker)
    peers = []

    def connect(family: socket.AddressFamily = socket.AF_INET) -> Peer:
        peers.append(Peer(server, family))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.socket.close()


@pytest.fixture
def worker(connect: Connect) -> Peer:
    """A worker with jobs to do."""
    connect().count(encode(Packet.SUBMIT_JOB, "f", "", b"") * 10)
    worker = connect()
    worker.count(encode(Packet.CAN_DO, "f"))
    return worker


@pytest.mark.parametrize(
    "packet",
    [
        encode(Packet.CAN_DO, "g"),
        encode(Packet.CAN_DO_TIMEOUT, "g", "60000"),
        encode(Packet.CANT_DO, "g"),
        encode(Packet.RESET_ABILITIES),
        encode(Packet.SET_CLIENT_ID, "small"),
        PRE_SLEEP,
    ],
)
def test_a_packet_that_gets_no_answer_is_acknowledged(connect: Connect, packet: bytes) -> None:
    assert connect().count(packet) == 1
    assert connect().count(packet, packet, packet) == 3


@pytest.mark.parametrize(
    ("packet", "arguments"),
    [
        (Packet.WORK_STATUS, (b"1", b"2")),
        (Packet.WORK_DATA, (b"data",)),
        (Packet.WORK_WARNING, (b"warning",)),
        (Packet.WORK_COMPLETE, (b"result",)),
        (Packet.WORK_EXCEPTION, (b"exception",)),
        (Packet.WORK_FAIL, ()),
    ],
)
def test_what_a_worker_says_of_its_job_is_acknowledged_unless_a_grab_follows(
    worker: Peer, packet: Packet, arguments: tuple[bytes, ...]
) -> None:
    assert worker.count(encode(packet, worker.job(), *arguments)) == 1
    assert worker.count(encode(packet, worker.job(), *arguments) + GRAB) == 0


def test_a_worker_that_pipelines_costs_no_system_call(worker: Peer) -> None:
    handle = worker.job()
    for _ in range(5):
        complete = encode(Packet.WORK_COMPLETE, handle, b"result")
        assert worker.count(encode(Packet.WORK_STATUS, handle, b"1", b"1") + complete + GRAB) == 0
        handle = worker.socket.read()[12:].partition(b"\0")[0]
        assert handle
    # No more to do: what is answered by NO_JOB, and the sleep behind a result.
    complete = encode(Packet.WORK_COMPLETE, handle, b"result")
    assert worker.count(complete + PRE_SLEEP) == 0


def test_what_is_refused_is_answered_and_not_acknowledged(connect: Connect) -> None:
    peer = connect()
    assert peer.count(encode(Packet.WORK_COMPLETE, "H:nobody:1", b"result")) == 0
    assert b"JOB_NOT_FOUND" in peer.socket.read()


def test_a_submission_byte_by_byte_is_acknowledged_up_to_its_last_byte(connect: Connect) -> None:
    peer = connect()
    packet = encode(Packet.SUBMIT_JOB, "f", "", b"workload")
    chunks = [packet[at : at + 1] for at in range(len(packet))]
    assert peer.count(*chunks) == len(chunks) - 1
    assert peer.socket.read()[:8] == b"\0RES\0\0\0\x08"
    # The header and the body by themselves.
    assert peer.count(packet[:12], packet[12:]) == 1
    # The same behind whole packets, whose answers carry the acknowledgement.
    assert peer.count(packet * 3 + packet[:12]) == 0
    assert peer.count(packet[12:]) == 0


def test_an_administrators_line_byte_by_byte_is_acknowledged_up_to_its_end(connect: Connect) -> None:
    peer = connect()
    assert peer.count(b"ver", b"sion") == 2
    assert peer.count(b"\n") == 0
    assert peer.socket.read().startswith(b"OK")


def test_a_unix_socket_knows_no_acknowledgements(connect: Connect) -> None:
    peer = connect(socket.AF_UNIX)
    assert peer.count(encode(Packet.CAN_DO, "f"), PRE_SLEEP, GRAB[:5], bytes(7)) == 0


class SmallWriter:
    """A peer over TCP with Nagle's algorithm on, like the libraries of Ruby and PHP."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None) -> None:
        self._tcp = socket.create_connection(address, timeout=30)
        self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        if context is not None:
            self._tcp = context.wrap_socket(self._tcp, server_hostname="localhost")

    def write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._tcp.sendall(piece)

    def read(self) -> tuple[int, bytes]:
        """The next packet's type and body."""
        head = self._receive(12)
        return int.from_bytes(head[4:8], "big"), self._receive(int.from_bytes(head[8:], "big"))

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            some = self._tcp.recv(size - len(data))
            assert some, "the server has closed the connection"
            data += some
        return data

    @property
    def acknowledged_after(self) -> int:
        """The smoothed time until the server's kernel acknowledges a write, in microseconds."""
        (rtt,) = struct.unpack_from(
            "I", self._tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), RTT_AT
        )
        return int(rtt)

    def close(self) -> None:
        self._tcp.close()


def _pieces(packet: bytes) -> list[bytes]:
    """A packet's header, the first byte of its body, and the rest."""
    return [piece for piece in (packet[:12], packet[12:13], packet[13:]) if piece]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_peers_with_small_writes_wait_for_no_delayed_acknowledgement(
    tmp_path: Path, host: str, encrypted: bool
) -> None:
    tls = Tls()
    context = None
    if encrypted:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        issued = authority.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
        tls = Tls(certificate=str(tmp_path / "server.pem"))
        context = tls_context(str(tmp_path / "ca.pem"))
    listen = (f"[{host}]" if ":" in host else host,)
    with RunningServer(ServerOptions(listen=listen, port=0, tls=tls)) as running, ExitStack() as stack:
        address = (running.host, running.port)
        worker = stack.enter_context(closing(SmallWriter(address, context)))
        client = stack.enter_context(closing(SmallWriter(address, context)))
        worker.write(*_pieces(encode(Packet.CAN_DO, "f")))
        for _ in range(ROUNDS):
            client.write(*_pieces(encode(Packet.SUBMIT_JOB, "f", "", b"workload")))
            assert client.read()[0] == Packet.JOB_CREATED
            worker.write(GRAB)
            kind, body = worker.read()
            assert kind == Packet.JOB_ASSIGN
            handle = body.partition(b"\0")[0]
            for packet in (
                encode(Packet.WORK_STATUS, handle, "1", "2"),
                encode(Packet.WORK_DATA, handle, b"data"),
                encode(Packet.WORK_WARNING, handle, b"warning"),
                encode(Packet.WORK_COMPLETE, handle, b"result"),
            ):
                worker.write(*_pieces(packet))
                assert client.read()[0] == int.from_bytes(packet[4:8], "big")
        assert worker.acknowledged_after < DELAYED
        assert client.acknowledged_after < DELAYED
