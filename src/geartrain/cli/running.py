"""A job server from its settings to its end, for `geartrain serve` and `geartrain gearmand`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from ..errors import ConfigError, GeartrainError
from ..version import __version__, form
from .exits import ExitCode, complain, fail
from .logs import LogFormat, LogLevel, configure_logs

if TYPE_CHECKING:
    from ..server import Server
    from ..server.config import Settings
    from ..server.options import ServerOptions


def gather(config: str | None, overrides: Mapping[str, Any]) -> Settings:
    """The settings of a file, the environment and the command line; ends the command if they are wrong."""
    import os

    from ..journal import default_journal_url, open_journal
    from ..server.config import load

    try:
        settings = load(config, os.environ, overrides)
        if ("journal",) not in settings.values:
            settings.set(("journal",), default_journal_url(), "the default of this user")
        options = settings.options()
        options.addresses()
        open_journal(options.journal)
        LogFormat(options.log.format), LogLevel(options.log.level)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)
    return settings


def run(settings: Settings, on_listening: Callable[[], None] | None = None) -> None:
    """Run the job server until it is told to stop; ends the command if it can't run."""
    import structlog

    from ..server import LOOP_NAME, serve

    options = settings.options()
    try:
        configure_logs(LogFormat(options.log.format), LogLevel(options.log.level), options.log.file)
    except OSError as error:
        fail(f"log.file: {options.log.file}: {error.strerror}")
    log = structlog.get_logger("geartrain.server")

    if settings.ignored:
        log.info("variables of a Kubernetes Service are ignored", names=settings.ignored)

    def ready(server: Server) -> None:
        log.info(
            "the job server listens",
            addresses=[str(address) for address in server.addresses],
            journal=server.journal.name,
            jobs=len(server.broker.jobs),
            version=__version__,
            form=form(),
            loop=LOOP_NAME,
        )
        if on_listening is not None:
            on_listening()

    try:
        serve(options, ready)
    except ConfigError as error:
        fail(str(error), ExitCode.USAGE)
    except (GeartrainError, OSError, ValueError) as error:
        reason = _in_words(error, options)
        log.error("the job server could not go on", reason=reason)
        if options.log.file:
            complain(f"the job server could not go on: {reason}")
        raise typer.Exit(ExitCode.FAILED) from None
    log.info("the job server has stopped")


def _in_words(error: Exception, options: ServerOptions) -> str:
    """Why the server could not start, with the address or file, and what to do about it."""
    import errno
    import os
    import socket

    if not isinstance(error, OSError):
        return str(error)
    said = error.strerror or str(error)
    if isinstance(error, socket.gaierror):
        names = [address.host for address in options.addresses() if not _is_known(address.host)]
        return (
            f"{' and '.join(names) or 'a name to listen at'} can't be found ({said}): listen at a name or "
            "address of this machine, or at 0.0.0.0 for all of its addresses"
        )
    if error.filename is not None:
        said = f"{error.filename}: {said}"
    else:
        for path in filter(None, (address.path for address in options.addresses())):
            folder = os.path.dirname(os.path.abspath(path))
            if error.errno == errno.ENOENT and not os.path.isdir(folder):
                return f"unix:{path}: there is no folder {folder}: make it first"
            if error.errno == errno.EADDRINUSE and os.path.isfile(path):
                return f"unix:{path}: a file is there that is no socket: move it away, or choose another path"
    advice = {
        errno.EADDRINUSE: "; another program listens there: end that one, or choose another address",
        errno.EADDRNOTAVAIL: "; listen at an address of this machine, or at 0.0.0.0 for all of them",
        errno.EACCES: "; this user may not have that: choose a port from 1024 on, or another path",
    }
    return said + advice.get(error.errno or 0, "")


def _is_known(host: str) -> bool:
    import socket

    try:
        return not host or bool(socket.getaddrinfo(host, None))
    except OSError:
        return False
