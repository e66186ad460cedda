"""The client of the interoperability tests, on a plain socket.

python -m tests.interop.peers.raw_client HOST PORT JOB...

How a JOB is written and what is printed is told in __init__.py beside this file.
"""

import sys
import time
from pathlib import Path

from tests.harness.rawwire import Packet, RawPeer

SUBMIT = {
    "foreground": Packet.SUBMIT_JOB,
    "high": Packet.SUBMIT_JOB_HIGH,
    "low": Packet.SUBMIT_JOB_LOW,
    "background": Packet.SUBMIT_JOB_BG,
    "high-background": Packet.SUBMIT_JOB_HIGH_BG,
    "low-background": Packet.SUBMIT_JOB_LOW_BG,
    "poll": Packet.SUBMIT_JOB_BG,
}
EVENTS = {Packet.WORK_DATA: "data", Packet.WORK_WARNING: "warning"}
ENDS = {Packet.WORK_COMPLETE: "complete", Packet.WORK_EXCEPTION: "exception", Packet.WORK_FAIL: "fail"}


def poll(server: RawPeer, number: int, handle: bytes) -> None:
    """Tell a background job's status, whenever it changes, until the server does not know it any more."""
    last = ""
    known = True
    while known:
        status = server.status(handle)
        known = status.known == b"1"
        # Gearman::Server leaves the numbers out where there is nothing to tell.
        line = b" ".join(field or b"0" for field in status[:4]).decode()
        if line != last:
            print(number, "polled", line, flush=True)
            last = line
        time.sleep(0.005)


def follow(server: RawPeer, waited_for: dict[bytes, int]) -> None:
    """Tell what happens to the foreground jobs until all are over."""
    while waited_for:
        type, (handle, *rest) = (packet := server.recv()).type, packet.args
        number = waited_for[handle]
        if type == Packet.WORK_STATUS:
            print(number, "status", *(argument.decode() for argument in rest), flush=True)
        elif type in EVENTS:
            print(number, EVENTS[Packet(type)], rest[0].hex(), flush=True)
        else:
            print(number, ENDS[Packet(type)], *(argument.hex() for argument in rest), flush=True)
            del waited_for[handle]


def main(host: str, port: str, *words: str) -> None:
    with RawPeer(host, int(port), timeout=30) as server:
        server.send(Packet.OPTION_REQ, "exceptions")
        server.expect(Packet.OPTION_RES, "exceptions")
        waited_for = {}
        for number, (mode, function, unique, file) in enumerate(zip(*[iter(words)] * 4, strict=True)):
            workload = Path(file).read_bytes()
            handle = server.submit(function, workload, unique=unique, type=SUBMIT[mode])
            print(number, "created", handle.decode(), flush=True)
            if mode == "poll":
                poll(server, number, handle)
            elif "background" not in mode:
                waited_for[handle] = number
        follow(server, waited_for)


main(*sys.argv[1:])
