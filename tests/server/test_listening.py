"""Where a server listens, and how it stops."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from geartrain.server import ServerOptions
from tests.harness.processes import Process, free_port, wait_until
from tests.harness.rawwire import Packet, RawPeer, encode
from tests.harness.servers import geartrain

from .running import RunningServer


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _echo(address: str | tuple[str, int], family: socket.AddressFamily) -> bytes:
    with socket.socket(family) as connection:
        connection.settimeout(5)
        connection.connect(address)
        connection.sendall(encode(Packet.ECHO_REQ, "hello"))
        return connection.recv(100)


def test_one_server_listens_on_several_addresses_at_once(tmp_path: Path) -> None:
    path = tmp_path / "geartrain.sock"
    listen = ("127.0.0.1", "127.0.0.2", f"unix:{path}") + (("[::1]:0",) if _has_ipv6() else ())
    with RunningServer(ServerOptions(listen=listen, port=0)) as running:
        for address in running.server.addresses:
            if address.path:
                answer = _echo(address.path, socket.AF_UNIX)
            elif ":" in address.host:
                answer = _echo((address.host, address.port), socket.AF_INET6)
            else:
                answer = _echo((address.host, address.port), socket.AF_INET)
            assert answer == b"\0RES\0\0\0\x11\0\0\0\x05hello"
        assert len(running.server.addresses) == len(listen)


def test_a_unix_socket_is_gone_when_the_server_has_stopped(tmp_path: Path) -> None:
    path = tmp_path / "geartrain.sock"
    with RunningServer(ServerOptions(listen=(f"unix:{path}",))):
        assert path.is_socket()
    assert not path.exists()


def test_a_unix_socket_whose_owner_died_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "geartrain.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with RunningServer(ServerOptions(listen=(f"unix:{path}",))):
        assert _echo(str(path), socket.AF_UNIX).endswith(b"hello")


def test_a_unix_socket_that_answers_is_left_to_its_owner(tmp_path: Path) -> None:
    options = ServerOptions(listen=(f"unix:{tmp_path / 'geartrain.sock'}",))
    with RunningServer(options), pytest.raises(OSError, match="in use"), RunningServer(options):
        pass


def test_a_taken_port_is_an_error_and_nothing_is_listened_on() -> None:
    with RunningServer() as first:
        free = ServerOptions(listen=("127.0.0.1:0", f"127.0.0.1:{first.port}"))
        second = RunningServer(free)
        with pytest.raises(OSError, match="in use"), second:
            pass
        for address in second.server.addresses:
            with pytest.raises(ConnectionRefusedError):
                RawPeer(address.host, address.port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_with_exit_code_zero(number: int) -> None:
    with geartrain() as server, server.connect() as peer:
        peer.sync()
        server.process.signal(number)
        assert server.process.wait() == 0
        peer.expect_closed()


def test_what_was_answered_before_a_stop_still_arrives() -> None:
    with RunningServer() as running, running.connect() as peer:
        peer.send(Packet.ECHO_REQ, b"x" * 1_000_000)
        peer.send_text("shutdown")
        assert len(peer.expect(Packet.ECHO_RES)[0]) == 1_000_000
        assert peer.recv_line() == b"OK\r\n"
        peer.expect_closed()
        running.join()


def test_a_graceful_shutdown_waits_for_the_last_job_and_takes_no_connection() -> None:
    with RunningServer() as running, running.connect() as client, running.connect() as worker:
        worker.can_do("f")
        client.submit("f", "one")
        job = worker.grab()
        client.send_text("shutdown graceful")
        assert client.recv_line() == b"OK\r\n"
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        worker.send(Packet.WORK_COMPLETE, job.handle, "done")
        client.expect(Packet.WORK_COMPLETE, job.handle, "done")
        client.expect_closed()
        running.join()


def test_handles_are_never_given_out_again_by_a_later_run() -> None:
    handles = []
    for _ in range(2):
        with RunningServer() as running, running.connect() as client:
            handles.append(int(client.submit("f", type=Packet.SUBMIT_JOB_BG).rpartition(b":")[2]))
    assert handles[0] < handles[1]


def test_a_stopped_server_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with RunningServer() as running, running.connect() as peer:
        peer.sync()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, "every descriptor is closed")


def test_the_server_runs_on_asyncios_own_loop_where_uvloop_is_missing() -> None:
    program = "import sys; sys.modules['uvloop'] = None; from geartrain.cli import main; main()"
    port = free_port()
    arguments = ("serve", "--journal", "memory", "--port", str(port))
    with Process(sys.executable, "-c", program, *arguments) as server:
        server.wait_for_output('"loop": "asyncio"')
        with RawPeer("127.0.0.1", port) as client, RawPeer("127.0.0.1", port) as worker:
            worker.can_do("f")
            handle = client.submit("f", b"x" * 3_000_000)
            assert len(worker.grab().workload) == 3_000_000
            worker.send(Packet.WORK_COMPLETE, handle, b"y" * 3_000_000)
            assert len(client.expect(Packet.WORK_COMPLETE, handle, ...)[1]) == 3_000_000


def test_connections_that_come_as_it_stops_are_closed_with_the_others() -> None:
    for _ in range(20):
        with RunningServer() as running:
            address = (running.host, running.port)
            peers = [socket.create_connection(address, 5) for _ in range(10)]
            running.stop()
        for peer in peers:
            with peer, suppress(ConnectionError):
                assert peer.recv(1) == b""


@pytest.mark.skipif(not _has_ipv6(), reason="needs IPv6")
@pytest.mark.parametrize("listen", ["[::]", "*"])
def test_all_addresses_are_those_of_both_versions(listen: str) -> None:
    with RunningServer(ServerOptions(listen=(listen,), port=free_port())) as running:
        (address,) = running.server.addresses
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            assert _echo((host, address.port), family).startswith(b"\0RES")
        with RawPeer("127.0.0.1", address.port) as peer:
            peer.can_do("f")
            peer.send_text("workers")
            # A client of IPv4 is shown as one.
            assert peer.recv_line().split()[1] == b"127.0.0.1"


@pytest.mark.skipif(not _has_ipv6(), reason="needs IPv6")
@pytest.mark.parametrize("listen", [("0.0.0.0", "[::]"), ("[::]", "0.0.0.0")])
def test_both_versions_may_have_a_socket_each(listen: tuple[str, ...]) -> None:
    with RunningServer(ServerOptions(listen=listen, port=free_port())) as running:
        assert len(running.server.addresses) == 2
        port = running.server.addresses[0].port
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            assert _echo((host, port), family).startswith(b"\0RES")


def test_an_address_that_is_given_twice_is_one(tmp_path: Path) -> None:
    path = f"unix:{tmp_path}/socket"
    listen = ("127.0.0.1", "127.0.0.1", "localhost", path, path)
    with RunningServer(ServerOptions(listen=listen, port=free_port())) as running:
        hosts = [address.host or address.path for address in running.server.addresses]
        assert len(hosts) == len(set(hosts))
        assert hosts[0] == "127.0.0.1"
