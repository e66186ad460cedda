"""A real job server in the process of the tests, on a thread of its own."""

from __future__ import annotations

import asyncio
import copy
import os
import socket
import threading
from types import TracebackType
from typing import Any, Final, Self

from ..server import Server, ServerOptions
from ..server.server import new_event_loop
from ..worker import Worker, forks
from ..worker.logs import keep_off_stdout

WITHIN: Final = 10.0
"""Seconds that starting and stopping may take."""


class LocalServer:
    """A job server while the block lasts: memory only, on a free port of loopback, started in milliseconds.

        with LocalServer() as server:
            server.work(tasks.worker)
            with Client(server.address) as client:
                ...

    The pytest fixture `gearman_server` is one.

    Args:
        options: those of `ServerOptions`, as keywords.

    Attributes:
        address: where it listens, as `"127.0.0.1:port"`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = ServerOptions(**{"port": 0, "journal": "memory", **options})
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gearman server", daemon=True)
        self._error: BaseException | None = None
        self._workers: list[tuple[Worker, threading.Thread]] = []
        self.address = ""

    def __enter__(self) -> Self:
        keep_off_stdout()
        self._thread.start()
        if not self._ready.wait(WITHIN):
            raise TimeoutError("the job server did not start")
        if self._error is not None:
            self._thread.join(WITHIN)
            raise self._error
        forks.hold(self)
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def work(self, worker: Worker, threads: int = 1) -> None:
        """Have a worker's functions done for this server until it stops.

        Args:
            worker: where the functions are. It stays as it is; its own servers are left alone.
            threads: how many jobs may run at a time.
        """
        here = copy.copy(worker)
        here.servers = self.address
        here._loops, here._one, here._stopped = [], None, False
        for number in range(threads):
            thread = threading.Thread(target=here.run, name=f"gearman worker {number}", daemon=True)
            thread.start()
            self._workers.append((here, thread))

    def stop(self) -> None:
        """Stop the workers, when the jobs in hand are done, and the server."""
        for worker, _ in self._workers:
            worker.stop()
        threads = [thread for _, thread in self._workers]
        for thread in threads:
            thread.join(WITHIN)
        self._workers.clear()
        forks.release(self)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._server.stop)
            self._thread.join(WITHIN)
        if self._thread.is_alive() or any(thread.is_alive() for thread in threads):
            raise TimeoutError("the job server or a worker did not stop: a handler hangs?")

    def forked(self) -> list[int]:
        """In a forked process: the descriptors of the server's listening and accepted sockets."""
        ports = {address.port for address in self._server.addresses if not address.path}
        return [number for number in _descriptors() if _port_of(number) in ports]

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            try:
                self._server = Server(self._options)
                await self._server.start()
                self.address = str(self._server.addresses[0])
            except BaseException as error:
                self._error = error
                return
            finally:
                self._ready.set()
            await self._server.stopped()

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())


def _descriptors() -> list[int]:
    return [int(name) for name in os.listdir("/dev/fd")]


def _port_of(descriptor: int) -> int:
    """Return the local TCP port of a descriptor, 0 if it has none."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return 0
    try:
        name = found.getsockname()
        return name[1] if found.family in (socket.AF_INET, socket.AF_INET6) else 0
    except OSError:
        return 0
    finally:
        found.detach()
