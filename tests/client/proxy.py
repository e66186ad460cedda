"""A connection that can be cut without a word, as a pulled cable cuts it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Passes bytes between clients and a server, until it swallows them or is slowed down."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.swallows = False
        """Whether everything, in both directions, disappears; new connections are accepted all the same."""
        self.stalls = False
        """Whether nothing more is taken from anybody, so that who writes has to wait."""
        self.accepted = 0
        self.passed = 0
        """Bytes that went to the server."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listener.close()
        self._stopped.close()

    def _run(self) -> None:
        others: dict[socket.socket, socket.socket] = {}
        ours: set[socket.socket] = set()
        try:
            while True:
                watched = [] if self.stalls else list(others)
                for ready in select.select([self._listener, self._stopped, *watched], [], [], 0.02)[0]:
                    if ready is self._stopped:
                        return
                    if ready is self._listener:
                        client, _ = self._listener.accept()
                        server = socket.create_connection(self._server, 10)
                        others[client], others[server] = server, client
                        ours.add(client)
                        self.accepted += 1
                    elif ready in others:
                        self._pass(ready, others, ready in ours)
        finally:
            for connection in others:
                connection.close()

    def _pass(
        self, ready: socket.socket, others: dict[socket.socket, socket.socket], to_server: bool
    ) -> None:
        try:
            data = ready.recv(64 * 1024)
        except OSError:
            data = b""
        if self.swallows:
            if not data:
                del others[ready]
                ready.close()
            return
        with contextlib.suppress(OSError):
            if data:
                others[ready].sendall(data)
                self.passed += len(data) if to_server else 0
                return
        other = others.pop(ready)
        others.pop(other, None)
        ready.close()
        other.close()
