"""Peers that send byte by byte, read nothing, or stop in the middle of everything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

from tests.harness.processes import Process, wait_until
from tests.harness.rawwire import Packet, RawPeer, encode
from tests.harness.servers import HOST, JobServer, geartrain

from .measuring import MB, connections, get_a_job_done, memory

STOPPED_WORKER = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for packet in (b"\\0REQ\\0\\0\\0\\1\\0\\0\\0\\1f", b"\\0REQ\\0\\0\\0\\4\\0\\0\\0\\0"):
    connection.sendall(packet)
print("asleep", flush=True)
while connection.recv(4096):
    connection.sendall(b"\\0REQ\\0\\0\\0\\x09\\0\\0\\0\\0")
    print(connection.recv(4096)[7], flush=True)
"""


def test_a_thousand_peers_that_dribble_are_answered_and_harm_nobody() -> None:
    packet = encode(Packet.ECHO_REQ, "drip")
    with geartrain() as server, ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection((server.host, server.port))) for _ in range(1000)
        ]
        for position in range(len(packet)):
            for peer in peers:
                peer.sendall(packet[position : position + 1])
            get_a_job_done(server)
            time.sleep(0.1)
        for peer in peers:
            peer.settimeout(10)
            assert peer.recv(100) == encode(Packet.ECHO_RES, "drip", magic=b"\0RES")
        assert connections(server) == 1000
        print(f"1,000 peers, {len(packet)} bytes each, one in 0.1 s: all answered, jobs done meanwhile")


def test_a_client_that_never_reads_a_gigabyte_costs_next_to_nothing_and_is_dropped() -> None:
    """The bound is a megabyte for a peer that does not read, and what is on its way to it."""
    with geartrain("--set=timeouts.reader=3s") as server, ExitStack() as stack:
        client, worker = (stack.enter_context(server.connect(60)) for _ in range(2))
        client.send(Packet.SET_CLIENT_ID, "never-reads")
        worker.can_do("f")
        handle = client.submit("f")
        worker.grab()
        get_a_job_done(server)
        before = most = memory(server.process.pid)
        megabyte = encode(Packet.WORK_DATA, handle, b"x" * MB)

        def offer() -> None:
            for _ in range(1000):
                worker.send_bytes(megabyte)
            worker.complete(handle)

        offering = threading.Thread(target=offer)
        offering.start()
        while offering.is_alive():
            get_a_job_done(server)
            most = max(most, memory(server.process.pid))
            offering.join(0.02)
        assert most - before < 50 * MB
        (line,) = [line for line in server.process.output.splitlines() if "connection dropped" in line]
        assert "never-reads" in line
        assert "it does not read what it is sent and holds up a worker" in line
        assert connections(server) == 1
        print(
            f"1 GB offered to a client that never reads: memory grew by {(most - before) / MB:.1f} MB at most"
        )


def test_a_stopped_worker_keeps_no_job_from_another() -> None:
    """It is woken, does not grab, and its wake is passed on."""
    with geartrain() as server, server.connect() as client, server.connect() as other, ExitStack() as stack:
        other.can_do("f")
        other.send(Packet.PRE_SLEEP)
        other.sync()
        # It falls asleep last, so it is woken first.
        program = (sys.executable, "-c", STOPPED_WORKER, HOST, str(server.port))
        stopped = stack.enter_context(Process(*program))
        stopped.wait_for_output("asleep")
        client.sync()
        stopped.signal(signal.SIGSTOP)
        handle = client.submit("f")
        other.expect(Packet.NOOP)
        assert other.grab().handle == handle
        other.complete(handle, "done")
        client.expect(Packet.WORK_COMPLETE, handle, "done")
        stopped.signal(signal.SIGCONT)
        stopped.wait_for_output(str(int(Packet.NO_JOB)))
        print("a stopped worker was woken first, and another one had the job")


def test_a_stopped_client_gets_everything_when_it_goes_on() -> None:
    results = 30
    program = f"""
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
packet = b"\\0REQ\\0\\0\\0\\7\\0\\0\\0\\3f\\0\\0"
connection.sendall(packet * {results})
print("submitted", flush=True)
sys.stdin.readline()
left = {results} * 1000000
while left > 0:
    left -= len(connection.recv(1 << 20))
print("all", flush=True)
"""
    with geartrain() as server, server.connect() as worker:
        worker.can_do("f")
        arguments = (sys.executable, "-c", program, HOST, str(server.port))
        with Process(*arguments, stdin=subprocess.PIPE) as client:
            client.wait_for_output("submitted")
            client.signal(signal.SIGSTOP)
            wait_until(lambda: _waiting(server) == results, "all jobs wait")
            before = memory(server.process.pid)
            done = threading.Thread(target=_work, args=(worker, results))
            done.start()
            get_a_job_done(server)
            client.signal(signal.SIGCONT)
            assert client.popen.stdin is not None
            os.write(client.popen.stdin.fileno(), b"\n")
            client.wait_for_output("all", 30)
            done.join(10)
            grown = memory(server.process.pid) - before
            assert grown < 50 * MB
            print(f"a stopped client got {results} MB of results later; memory grew by {grown / MB:.1f} MB")


def _waiting(server: JobServer) -> int:
    with server.connect() as asker:
        asker.send_text("status")
        return sum(int(line.split(b"\t")[1]) for line in asker.recv_lines() if line.startswith(b"f\t"))


def _work(worker: RawPeer, count: int) -> None:
    for _ in range(count):
        worker.send(Packet.WORK_COMPLETE, worker.grab().handle, b"x" * MB)
