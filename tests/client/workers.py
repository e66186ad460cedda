"""A worker for the client's tests, in a thread, with nothing of geartrain in it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from tests.harness.rawwire import Packet, RawPeer, WireMismatchError

FUNCTIONS = ("echo", "reverse", "fail", "raise", "chatty", "hold")


class Worker:
    """Works for one server until the block ends.

    - `echo`: the workload; `reverse`: the workload, reversed.
    - `fail`: the job fails; `raise`: it ends with an exception whose text is the workload.
    - `chatty`: status 1/2, data `a` and `b`, a warning `w`, status 2/2; the result is the workload.
    - `hold`: waits for `release`, then answers with the workload.
    """

    def __init__(self, host: str, port: int, prefix: str = "") -> None:
        self.done = 0
        self.held = threading.Event()
        self.release = threading.Event()
        self._prefix = prefix
        self._peer = RawPeer(host, port)
        self._peer.can_do(*(prefix + function for function in FUNCTIONS))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        with contextlib.suppress(OSError):
            self._peer.socket.shutdown(2)
        self._thread.join(10)
        self._peer.close()
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with contextlib.suppress(WireMismatchError, OSError):
            while True:
                self._peer.send(Packet.GRAB_JOB)
                packet = self._peer.recv(3600)
                if packet.type == Packet.NO_JOB:
                    self._peer.send(Packet.PRE_SLEEP)
                    self._peer.expect(Packet.NOOP, timeout=3600)
                elif packet.type == Packet.JOB_ASSIGN:
                    self._work(*packet.args)

    def _work(self, handle: bytes, function: bytes, workload: bytes) -> None:
        send = self._peer.send
        name = function.decode().removeprefix(self._prefix)
        result = workload
        self.done += 1
        if name == "fail":
            send(Packet.WORK_FAIL, handle)
            return
        if name == "raise":
            send(Packet.WORK_EXCEPTION, handle, workload)
            return
        if name == "reverse":
            result = workload[::-1]
        elif name == "hold":
            self.held.set()
            assert self.release.wait(30)
        elif name == "chatty":
            send(Packet.WORK_STATUS, handle, 1, 2)
            send(Packet.WORK_DATA, handle, "a")
            send(Packet.WORK_DATA, handle, "b")
            send(Packet.WORK_WARNING, handle, "w")
            send(Packet.WORK_STATUS, handle, 2, 2)
        send(Packet.WORK_COMPLETE, handle, result)


@contextlib.contextmanager
def worker(host: str, port: int, prefix: str = "") -> Iterator[Worker]:
    """One worker for as long as the block runs."""
    with Worker(host, port, prefix) as running:
        yield running
