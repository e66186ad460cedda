"""A job server from its settings to its end, for `geartrain serve` and `geartrain gearmand`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from ..errors import ConfigError, GeartrainError
from ..version import __version__, form
from .exits import ExitCode, fail
from .logs import LogFormat, LogLevel, configure_logs

if TYPE_CHECKING:
    from ..server import Server
    from ..server.config import Settings


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
        log.error("the job server could not go on", reason=str(error))
        raise typer.Exit(ExitCode.FAILED) from None
    log.info("the job server has stopped")
