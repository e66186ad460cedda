"""Packets and lines on the wire: their headers, their sizes, and any split of the bytes."""

from __future__ import annotations

import contextlib

import pytest

from tests.harness.rawwire import RES, Packet, RawPeer, WireMismatchError, encode
from tests.harness.servers import JobServer

from .conftest import Connect

ALL_BYTES = bytes(range(256))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"\0", id="NUL"),
        pytest.param(b"\0\0REQ\0\0RES\0", id="magic"),
        pytest.param(ALL_BYTES, id="all-bytes"),
        pytest.param(ALL_BYTES * 4096, id="1-MB"),
    ],
)
def test_an_echo_comes_back_unchanged(client: RawPeer, data: bytes) -> None:
    client.send(Packet.ECHO_REQ, data)
    client.expect(Packet.ECHO_RES, data)
    client.expect_nothing()


def test_a_packet_may_come_byte_by_byte(client: RawPeer, worker: RawPeer, function: str) -> None:
    for byte in encode(Packet.SUBMIT_JOB, function, "unique", b"work\0load"):
        client.send_bytes(bytes([byte]))
    handle = client.expect(Packet.JOB_CREATED)[0]
    worker.can_do(function)
    for byte in encode(Packet.GRAB_JOB):
        worker.send_bytes(bytes([byte]))
    worker.expect(Packet.JOB_ASSIGN, handle, function, b"work\0load")
    for byte in encode(Packet.WORK_COMPLETE, handle, b"re\0sult"):
        worker.send_bytes(bytes([byte]))
    client.expect(Packet.WORK_COMPLETE, handle, b"re\0sult")


def test_a_packet_may_be_cut_anywhere(client: RawPeer, function: str) -> None:
    packet = encode(Packet.SUBMIT_JOB_BG, function, "", b"\0workload\0")
    for cut in range(1, len(packet)):
        client.send_bytes(packet[:cut])
        client.send_bytes(packet[cut:])
        client.expect(Packet.JOB_CREATED, ...)
    client.expect_nothing()


def test_many_packets_in_one_write_are_answered_in_order(client: RawPeer, function: str) -> None:
    echoes = [b"echo %d" % number for number in range(200)]
    client.send_bytes(
        b"".join(
            encode(Packet.ECHO_REQ, echo) + encode(Packet.SUBMIT_JOB_BG, function, "", echo)
            for echo in echoes
        )
    )
    handles = set()
    for echo in echoes:
        client.expect(Packet.ECHO_RES, echo)
        handles.add(client.expect(Packet.JOB_CREATED)[0])
    assert len(handles) == len(echoes)


def test_text_and_binary_alternate_on_one_connection(client: RawPeer, function: str) -> None:
    client.submit(function, type=Packet.SUBMIT_JOB_BG)
    client.send_text("status")
    assert f"{function}\t1\t0\t0".encode() in client.recv_lines()
    client.send(Packet.ECHO_REQ, "binary again")
    client.expect(Packet.ECHO_RES, "binary again")
    client.send_text("maxqueue", b"\r\n")
    assert client.recv_line().startswith(b"ERR ")
    client.expect_nothing()


def test_text_and_binary_may_share_a_write(client: RawPeer) -> None:
    client.send_bytes(
        encode(Packet.ECHO_REQ, "one")
        + b"version\nworkers\r\n"
        + encode(Packet.ECHO_REQ, "two")
        + b"version\n"
    )
    client.expect(Packet.ECHO_RES, "one")
    version = client.recv_line()
    client.recv_lines()
    client.expect(Packet.ECHO_RES, "two")
    assert client.recv_line() == version


def test_a_packet_that_never_ends_changes_nothing(
    connect: Connect, client: RawPeer, worker: RawPeer, function: str
) -> None:
    half = connect()
    half.send_bytes(encode(Packet.SUBMIT_JOB_BG, function, "unique", b"workload")[:-1])
    half.close()
    worker.can_do(function)
    worker.grab_nothing()
    client.expect_nothing()


# What is no request


def test_a_response_sent_to_the_server_is_refused(client: RawPeer) -> None:
    client.send(Packet.ECHO_REQ, "data", magic=RES)
    client.expect(Packet.ERROR, "INVALID_MAGIC", "Request magic expected")
    client.expect_nothing()


SERVER_ONLY = {
    Packet.NOOP: 0,
    Packet.JOB_CREATED: 1,
    Packet.NO_JOB: 0,
    Packet.JOB_ASSIGN: 3,
    Packet.ECHO_RES: 1,
    Packet.ERROR: 2,
    Packet.STATUS_RES: 5,
    Packet.OPTION_RES: 1,
    Packet.JOB_ASSIGN_UNIQ: 4,
    Packet.JOB_ASSIGN_ALL: 5,
    Packet.STATUS_RES_UNIQUE: 6,
}


@pytest.mark.parametrize("packet", SERVER_ONLY, ids=lambda packet: packet.name)
def test_a_packet_that_only_servers_send_is_refused(client: RawPeer, packet: Packet) -> None:
    client.send(packet, *[b"x"] * SERVER_ONLY[packet])
    client.expect(Packet.ERROR, "INVALID_COMMAND", "Command not expected")
    client.expect_nothing()


def test_the_type_that_was_never_given_out_is_refused(client: RawPeer) -> None:
    client.send(5)
    client.expect_error("INVALID_COMMAND")
    client.expect_nothing()


@pytest.mark.parametrize("type", [0, 43, 1000, 2**31 - 1])
def test_a_type_out_of_range_is_refused(client: RawPeer, type: int) -> None:
    client.send(type, b"body")
    client.expect_error("INVALID_COMMAND")
    client.expect_nothing()


@pytest.mark.parametrize("type", [2**31, 2**32 - 1])
def test_a_type_of_32_bits_harms_nobody_else(own_server: JobServer, type: int) -> None:
    with own_server.connect() as peer, own_server.connect() as bystander:
        bystander.sync()
        peer.send(type)
        with contextlib.suppress(WireMismatchError):  # refused or closed, either will do
            peer.expect_error("INVALID_COMMAND")
        bystander.expect_nothing()


def test_a_magic_that_is_none_ends_the_connection(client: RawPeer, worker: RawPeer) -> None:
    worker.sync()
    client.send(Packet.ECHO_REQ, "data", magic=b"\0RAQ")
    assert all(packet.type == Packet.ERROR for packet in client.recv_rest())
    worker.expect_nothing()


def test_a_submission_that_lacks_arguments_is_refused(client: RawPeer, function: str) -> None:
    client.send(Packet.SUBMIT_JOB_BG, function)
    client.expect(Packet.ERROR)
    client.submit(function, type=Packet.SUBMIT_JOB_BG)
    client.expect_nothing()
