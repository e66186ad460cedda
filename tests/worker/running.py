"""What the tests of workers start: a worker on a thread, and a job server that does what the test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from geartrain import Worker
from geartrain.worker.engine import keepalive
from tests.harness.rawwire import REQ, RES, Argument, Packet, RawPeer, Received
from tests.harness.servers import JobServer
from tests.server.running import RunningServer

TIMEOUT: Final = 10.0


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    """Have a worker run on a thread of its own while the block lasts."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "the worker did not stop in time"
        assert errors == []


def abilities(server: RunningServer | JobServer) -> list[bytes]:
    """What the workers of a server have announced; of each the newest first."""
    with server.connect() as asker:
        asker.send_text("workers")
        lines = [line.partition(b" : ")[2] for line in asker.recv_lines()]
    return [name for line in lines if line for name in line.split(b" ")]


class ScriptedServer:
    """A job server whose every packet the test writes and reads.

    Args:
        receive_buffer: bytes that its sockets buffer, about; 0 leaves that to the system.
    """

    def __init__(self, receive_buffer: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.settimeout(TIMEOUT)
        self._peers: list[RawPeer] = []
        self._farewell = keepalive.FAREWELL_TIMEOUT

    def __enter__(self) -> Self:
        # A test does not say goodbye, so there is nothing to wait for.
        keepalive.FAREWELL_TIMEOUT = 0.01
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        keepalive.FAREWELL_TIMEOUT = self._farewell
        for peer in self._peers:
            peer.close()
        self._listener.close()

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def accept(self) -> WorkerEnd:
        """Wait for a worker to connect."""
        connected, _ = self._listener.accept()
        end = WorkerEnd(connected)
        self._peers.append(end.peer)
        return end


class WorkerEnd:
    """The server's end of a worker's connection."""

    def __init__(self, connected: socket.socket) -> None:
        self.peer = RawPeer.over(connected, TIMEOUT)

    def send(self, type: int, *args: Argument) -> None:
        """Send the worker a packet."""
        self.peer.send(type, *args, magic=RES)

    def expect(self, *types: Packet) -> list[tuple[bytes, ...]]:
        """Read packets from the worker, which must be of these types; returns the arguments of each."""
        got: list[Received] = []
        for type in types:
            packet = self.peer.recv()
            got.append(packet)
            assert (packet.magic, packet.type) == (REQ, type), f"expected {type.name}, got {packet}"
        return [tuple(packet.body.split(b"\0")) if packet.body else () for packet in got]

    def greet(self, *abilities: Packet) -> None:
        """Read how a new connection begins, with one CAN_DO unless told otherwise, and answer its probe."""
        self.expect(Packet.SET_CLIENT_ID, *(abilities or [Packet.CAN_DO]), Packet.ECHO_REQ, Packet.PRE_SLEEP)
        self.send(Packet.ECHO_RES, "geartrain")

    def assign(self, function: str, workload: Argument = b"", handle: str = "H:test:1") -> None:
        """Wake the worker, and give it a job when it asks for one."""
        self.send(Packet.NOOP)
        self.expect(Packet.GRAB_JOB_ALL)
        self.send(Packet.JOB_ASSIGN_UNIQ, handle, function, "", workload)
