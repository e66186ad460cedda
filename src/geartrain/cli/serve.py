"""`geartrain serve`: the job server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GeartrainError
from ..version import __version__, form
from ..wire.packets import DEFAULT_PORT
from .exits import ExitCode, fail
from .help import examples
from .lifeline import LifelineOption, hold_lifeline
from .logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, configure_logs

if TYPE_CHECKING:
    from ..server import Server

app = typer.Typer()


@app.command(
    epilog=examples(
        "geartrain serve",
        "geartrain serve --listen 0.0.0.0 --listen unix:/run/geartrain.sock",
        "geartrain serve --port 4731 --journal memory  # background jobs end with the server",
        "geartrain serve --journal sqlite:jobs.db 2>&1 | jq .  # the log as JSON lines",
    )
)
def serve(
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen: HOST, HOST:PORT, [::1]:PORT or unix:PATH. May be given several times.",
            show_default="127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of addresses that name none; 0 takes a free one.")
    ] = DEFAULT_PORT,
    journal: Annotated[
        str | None,
        typer.Option(
            metavar="JOURNAL",
            help="Where background jobs survive: sqlite:PATH, or memory for nowhere.",
            show_default="journal.db in this user's state folder",
        ),
    ] = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    log_level: LogLevelOption = LogLevel.INFO,
    until_eof: LifelineOption = False,
) -> None:
    """Run the job server until SIGTERM, Ctrl-C or a `shutdown` from gearadmin.

    Any Gearman client or worker can connect, in any language. Background jobs are acknowledged once they are
    in the journal, and go on after a restart.
    """
    import structlog

    from ..journal import default_journal_url
    from ..server import LOOP_NAME, ServerOptions
    from ..server import serve as run

    configure_logs(log_format, log_level)
    log = structlog.get_logger("geartrain.server")
    options = ServerOptions(
        listen=tuple(listen or ServerOptions().listen), port=port, journal=journal or default_journal_url()
    )
    try:
        options.addresses()
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)

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

    if until_eof:
        hold_lifeline()
    try:
        run(options, ready)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)
    except (GeartrainError, OSError) as error:
        log.error("the job server could not go on", reason=str(error))
        raise typer.Exit(ExitCode.FAILED) from None
    log.info("the job server has stopped")
