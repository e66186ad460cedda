"""A job server inside the test's own process, on a thread and loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

from geartrain.errors import JournalError
from geartrain.journal import Journal
from geartrain.server import Server, ServerOptions
from geartrain.server.server import new_event_loop
from tests.harness.rawwire import RawPeer

TIMEOUT: Final = 10.0

T = TypeVar("T")


class RunningServer:
    """Runs one `Server` while the block lasts, on a free port unless the options name one."""

    def __init__(self, options: ServerOptions | None = None, journal: Journal | None = None) -> None:
        self._options = options or ServerOptions(port=0)
        self._journal = journal
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(TIMEOUT), "the server did not start in time"
        if self._error is not None:
            self._thread.join(TIMEOUT)
            raise self._error
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it and wait for its end."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.server.stop)
        self.join()

    def join(self) -> None:
        """Wait for the end of a server that was told to stop; raises what it ended with."""
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the server did not stop in time"
        error, self._error = self._error, None
        if error is not None:
            raise error

    @property
    def host(self) -> str:
        """The first address it listens on."""
        return self.server.addresses[0].host

    @property
    def address(self) -> str:
        """The same with its port, as `host:port`."""
        return str(self.server.addresses[0])

    @property
    def port(self) -> int:
        """The port of the first address it listens on."""
        return self.server.addresses[0].port

    def connect(self) -> RawPeer:
        """A raw connection to the first address."""
        return RawPeer(self.server.addresses[0].host, self.port)

    def ask(self, question: Callable[[Server], T]) -> T:
        """Have the server's thread answer a question about its state."""

        async def answer() -> T:
            return question(self.server)

        return asyncio.run_coroutine_threadsafe(answer(), self.loop).result(TIMEOUT)

    def _run(self) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            try:
                self.server = Server(self._options, self._journal)
                await self.server.start()
            except BaseException as error:
                self._error = error
                return
            finally:
                self._ready.set()
            try:
                await self.server.stopped()
            except JournalError as error:
                self._error = error

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())
