"""TLS: our clients and workers, foreign programs, certificates on both sides, and reading them again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from geartrain import (
    Admin,
    AsyncAdmin,
    AsyncClient,
    Client,
    ConnectionLostError,
    NoServersError,
    Worker,
    tls_context,
)
from geartrain.errors import ConfigError
from geartrain.server.options import Tls
from geartrain.server.tls import make_context
from tests.harness.processes import wait_until
from tests.harness.rawwire import RES, Packet, encode
from tests.harness.servers import JobServer, geartrain, require


class Files:
    """An authority, a certificate for the server and one for a peer, as files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.server = folder / "server.pem"
        self.renew()
        self.peer = folder / "peer.pem"
        issued = self.authority.issue_cert("peer.example", common_name="peer")
        issued.private_key_and_cert_chain_pem.write_to_path(self.peer)

    def renew(self) -> None:
        """Give the server another certificate."""
        issued = self.authority.issue_cert("127.0.0.1", "localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(self.server)

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are told of servers as `tls:host:port`."""
        return {"GEARTRAIN_TLS_CA": str(self.ca), "GEARTRAIN_TLS_CERTIFICATE": str(self.peer)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "mutual"])
def server(files: Files, request: pytest.FixtureRequest) -> Iterator[JobServer]:
    """A server that speaks TLS, and in the second form asks its peers for certificates."""
    options = [f"--tls-certificate={files.server}"]
    if request.param:
        options.append(f"--tls-client-ca={files.ca}")
    with geartrain(*options) as server:
        yield server


@pytest.fixture
def context(files: Files) -> ssl.SSLContext:
    return tls_context(str(files.ca), str(files.peer))


@contextmanager
def _working(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(10)


@pytest.mark.parametrize("kind", ["plain", "coroutines"])
def test_clients_and_workers_speak_tls(server: JobServer, context: ssl.SSLContext, kind: str) -> None:
    worker = Worker(server.address, tls=context)
    large = os.urandom(5_000_000)
    if kind == "plain":

        @worker.function("reverse")
        def reverse(job):  # type: ignore[no-untyped-def]
            job.data(b"some")
            return job.workload[::-1]
    else:

        @worker.function("reverse")
        async def reverse(job):  # type: ignore[no-untyped-def]
            job.data(b"some")
            return job.workload[::-1]

    with _working(worker), Client(server.address, tls=context) as client:
        assert client.run("reverse", b"hello", timeout=10) == b"olleh"
        # In records of 16 kB, and more than any buffer on the way holds.
        assert client.run("reverse", large, timeout=30) == large[::-1]
        futures = [client.submit("reverse", b"%d" % number) for number in range(200)]
        assert [future.result(10) for future in futures] == [str(n)[::-1].encode() for n in range(200)]

        async def from_asyncio() -> None:
            async with AsyncClient(server.address, tls=context) as client:
                assert await client.run("reverse", large, timeout=30) == large[::-1]
            async with AsyncAdmin(server.address, tls=context) as admin:
                assert any(row.function == "reverse" and row.workers == 1 for row in await admin.status())

        asyncio.run(from_asyncio())


def test_the_text_protocol_goes_through_tls(server: JobServer, context: ssl.SSLContext) -> None:
    with Admin(server.address, tls=context) as admin:
        assert admin.pid() == server.process.pid


def test_the_command_line_reaches_a_server_that_is_written_with_tls(server: JobServer, files: Files) -> None:
    for name in (server.address, server.address.replace("127.0.0.1", "localhost")):
        told = subprocess.run(
            [sys.executable, "-m", "geartrain", "admin", "pid", "--server", f"tls:{name}"],
            env={**os.environ, **files.environment},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (told.returncode, told.stdout) == (0, f"{server.process.pid}\n"), told.stderr


def test_openssl_s_client_gets_an_answer(server: JobServer, files: Files) -> None:
    require("openssl", "openssl is missing: apt-get install openssl")
    with subprocess.Popen(
        [
            *("openssl", "s_client", "-quiet", "-connect", server.address),
            "-CAfile",
            files.ca,
            "-cert",
            files.peer,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(b"getpid\n")
        program.stdin.flush()
        assert program.stdout.readline() == b"OK %d\n" % server.process.pid
        program.kill()


def test_nothing_older_than_tls_1_2_is_spoken(server: JobServer, files: Files) -> None:
    context = tls_context(str(files.ca), str(files.peer))
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection((server.host, server.port), 10) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_who_does_not_speak_tls_gets_nowhere(server: JobServer) -> None:
    with server.connect() as peer:
        peer.send(Packet.ECHO_REQ, "hello")
        told = b""
        with suppress(ConnectionError):
            while chunk := peer.socket.recv(4096):
                told += chunk
        assert RES not in told


def test_a_server_that_is_somebody_else_is_not_trusted(server: JobServer, files: Files) -> None:
    stranger = trustme.CA()
    context = tls_context(certificate=str(files.peer))
    stranger.configure_trust(context)
    client = Client(server.address, tls=context)
    with client, pytest.raises(NoServersError, match="certificate verify"):
        client.echo(b"x")


def test_peers_without_a_certificate_are_turned_away_where_one_is_asked_for(files: Files) -> None:
    with geartrain(f"--tls-certificate={files.server}", f"--tls-client-ca={files.ca}") as server:
        nobody = Admin(server.address, tls=tls_context(str(files.ca)))
        with nobody, pytest.raises((ConnectionLostError, NoServersError)):
            nobody.version()
        with Admin(server.address, tls=tls_context(str(files.ca), str(files.peer))) as admin:
            admin.version()
        server.process.wait_for_output("a TLS handshake failed")


def test_only_the_addresses_written_with_tls_speak_it_if_there_are_any(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "geartrain.sock"
    options = (f"--tls-certificate={files.server}", "--listen=tls:127.0.0.1:0", f"--listen=unix:{path}")
    with geartrain(*options) as server:
        with server.connect() as plain:
            plain.sync()
        with Admin(f"unix:{path}") as admin:
            assert admin.pid() == server.process.pid
        addresses = server.process.output
        secured = addresses.split('"tls:')[1].split('"')[0]
        with Admin(f"tls:{secured}", tls=tls_context(str(files.ca))) as admin:
            assert admin.pid() == server.process.pid


def test_a_renewed_certificate_is_taken_up_at_sighup(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with geartrain(f"--tls-certificate={files.server}") as server:
        context = tls_context(str(files.ca))
        with Client(server.address, tls=context) as client:
            assert client.echo(b"x") == b"x"
            before = _serial(server, context)
            files.renew()
            server.process.signal(signal.SIGHUP)
            wait_until(lambda: _serial(server, context) != before, "the new certificate is shown")
            # Who is connected stays connected.
            assert client.echo(b"x") == b"x"
        files.server.write_text("no certificate")
        server.process.signal(signal.SIGHUP)
        server.process.wait_for_output("nothing was changed")
        assert _serial(server, context)


def _serial(server: JobServer, context: ssl.SSLContext) -> object:
    with (
        socket.create_connection((server.host, server.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        certificate = secured.getpeercert()
        assert certificate
        secured.sendall(encode(Packet.ECHO_REQ, "x"))
        assert secured.recv(100) == encode(Packet.ECHO_RES, "x", magic=RES)
        return certificate["serialNumber"]


def test_a_handshake_that_does_not_come_ends_the_connection(files: Files) -> None:
    options = (f"--tls-certificate={files.server}", "--set=timeouts.handshake=0.5s")
    with geartrain(*options) as server, server.connect() as silent:
        silent.expect_closed()


def test_files_that_can_not_be_used_are_named(files: Files, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls\.certificate: /nowhere can't be used: No such file"):
        make_context(Tls(certificate="/nowhere"))
    with pytest.raises(ConfigError, match=r"tls\.client_ca: .* can't be used"):
        make_context(Tls(certificate=str(files.server), client_ca=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="TLS: /nowhere can't be used"):
        tls_context("/nowhere")
