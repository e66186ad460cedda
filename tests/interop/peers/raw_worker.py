"""The worker of the interoperability tests, on a plain socket.

python -m tests.interop.peers.raw_worker HOST PORT PREFIX

What each function does is written in __init__.py beside this file.
"""

import os
import signal
import sys
import time

from tests.harness.rawwire import Packet, RawPeer

FUNCTIONS = ("reverse", "fail", "raise", "chunks", "warn", "gate", "progress", "die")
FOR_EVER = 24 * 3600.0
"""Seconds that the worker waits for a job."""


def pass_gate(workload: bytes) -> None:
    """Note the name in PATH.log, then wait until PATH.open is there."""
    path, name = workload.decode().split()
    with open(f"{path}.log", "a") as log:
        print(name, file=log)
    deadline = time.monotonic() + 20
    while not os.path.exists(f"{path}.open") and time.monotonic() < deadline:
        time.sleep(0.005)


def work(server: RawPeer, handle: bytes, function: str, workload: bytes) -> None:
    result = b"done"
    match function:
        case "reverse":
            result = workload[::-1]
        case "fail":
            return server.send(Packet.WORK_FAIL, handle)
        case "raise":
            return server.send(Packet.WORK_EXCEPTION, handle, workload)
        case "chunks":
            for line in workload.splitlines(keepends=True):
                server.send(Packet.WORK_DATA, handle, line)
        case "warn":
            server.send(Packet.WORK_WARNING, handle, workload)
        case "gate":
            pass_gate(workload)
        case "progress":
            server.send(Packet.WORK_STATUS, handle, 1, 2)
            pass_gate(workload)
            server.send(Packet.WORK_STATUS, handle, 2, 2)
        case "die":
            try:
                os.close(os.open(workload, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                result = b"survived"
            else:
                os.kill(os.getpid(), signal.SIGKILL)
    return server.send(Packet.WORK_COMPLETE, handle, result)


def main(host: str, port: str, prefix: str) -> None:
    server = RawPeer(host, int(port), timeout=FOR_EVER)
    for name in FUNCTIONS:
        server.send(Packet.CAN_DO, prefix + name)
    while True:
        server.send(Packet.GRAB_JOB)
        packet = server.recv()
        while packet.type == Packet.NOOP:
            packet = server.recv()
        if packet.type == Packet.JOB_ASSIGN:
            handle, function, workload = packet.args
            work(server, handle, function.decode().removeprefix(prefix), workload)
        elif packet.type == Packet.NO_JOB:
            server.send(Packet.PRE_SLEEP)
            server.expect(Packet.NOOP)
        else:
            sys.exit(str(packet))


main(*sys.argv[1:])
