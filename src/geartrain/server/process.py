"""The job server as a process: its signals, its process id file, and what systemd is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator

import structlog

from ..errors import ConfigError
from ..parent_watch import Terminal
from . import systemd
from .memory import Memory
from .options import ServerOptions
from .report import report
from .server import Server, new_event_loop

_log = structlog.get_logger("geartrain.server")


def serve(
    options: ServerOptions | None = None,
    on_ready: Callable[[Server], None] | None = None,
    on_reload: Callable[[], None] | None = None,
) -> None:
    """Run a job server until SIGTERM, SIGINT or a `shutdown` command.

    At the first of these signals it takes no more jobs and waits for the running ones, at the second it ends.
    SIGHUP reads the certificates and the access file again and calls `on_reload`. It acts as SIGTERM when the
    terminal has closed that the server was started on. SIGUSR1 logs the server's state. `on_ready` is called
    once it listens.

    Raises:
        ConfigError: an option can't be understood or met.
        JournalError: the journal can't be used.
        OSError: an address can't be listened on.
    """
    chosen = options or ServerOptions()
    terminal = Terminal()

    async def main() -> None:
        memory = Memory()
        server = Server(chosen)
        loop = asyncio.get_running_loop()
        me = asyncio.current_task()
        has_started = False
        early: list[Callable[[], None]] = []
        stops: list[bool] = []

        def end() -> None:
            systemd.notify("STOPPING=1")
            if has_started:
                server.drain()
            elif me is not None:
                me.cancel()

        def hang_up() -> None:
            if not terminal.closed:
                once_started(reload)()
            elif not stops:
                # Once: a terminal that closes may send the signal twice.
                stops.append(True)
                _log.info("the terminal has closed, stopping when the running jobs are done")
                end()

        def reload() -> None:
            systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={systemd.monotonic()}")
            if on_reload is not None:
                on_reload()
            try:
                server.reload()
                _log.info("certificates and access were read again")
            except ConfigError as error:
                _log.error("nothing was changed", reason=str(error))
            systemd.notify("READY=1")

        def log_from(word: bytes) -> None:
            set_level(word)
            server.follow_log_level()

        def once_started(act: Callable[[], None]) -> Callable[[], None]:
            return lambda: act() if has_started else early.append(act)

        # Before it listens: who finds it there may end it, and a replay is no time to die of SIGHUP.
        for number, act in (
            (signal.SIGTERM, end),
            (signal.SIGINT, end),
            (signal.SIGHUP, hang_up),
            (signal.SIGUSR1, once_started(lambda: _log.info("state", **report(server)))),
        ):
            loop.add_signal_handler(number, act)
        try:
            await server.start(systemd.listening_sockets())
        except asyncio.CancelledError:
            _log.info("ended by a signal before it listened")
            return
        has_started = True
        server.broker.verbosity = chosen.log.level.upper().encode()
        server.broker.on_verbosity = log_from
        memory.begin(server.now)
        watchdog = systemd.Watchdog()

        def tick() -> None:
            watchdog.tick()
            memory.look(server.now, len(server.broker.jobs), server.broker.jobs.bytes)

        server.on_tick = tick
        if on_ready is not None:
            on_ready(server)
        server.warn_if_exposed()
        systemd.notify(f"READY=1\nMAINPID={os.getpid()}")
        for act in early:
            act()
        await server.stopped()

    with process_id_file(chosen.pid_file), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def set_level(word: bytes) -> None:
    """Log from now on what is at least as important as one of gearmand's words says."""
    level = {"FATAL": "CRITICAL", "ALERT": "CRITICAL", "NOTICE": "INFO"}.get(word.decode(), word.decode())
    logging.getLogger().setLevel(level)
    _log.info("what is logged was changed", least=level.lower())


@contextlib.contextmanager
def process_id_file(path: str) -> Iterator[None]:
    """Write this process's id to a file while the block lasts; nothing for an empty path.

    Raises:
        OSError: it can't be written.
    """
    if not path:
        yield
        return
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    try:
        yield
    finally:
        # After a change of the user it may be out of reach; the next start writes over it.
        with contextlib.suppress(OSError):
            os.unlink(path)
