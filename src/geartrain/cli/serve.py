"""`geartrain serve`: the job server."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..wire.packets import DEFAULT_PORT
from .exits import ExitCode, fail
from .help import examples
from .lifeline import LifelineOption, exit_with_parent
from .logs import LogFormat, LogLevel

app = typer.Typer()


@app.command(
    epilog=examples(
        "geartrain serve",
        "geartrain serve --listen 0.0.0.0 --listen unix:/run/geartrain.sock",
        "geartrain serve --port 4731 --journal memory  # background jobs end with the server",
        "geartrain serve --journal sqlite:jobs.db 2>&1 | jq .  # the log as JSON lines",
        "geartrain serve --config geartrain.toml --set limits.packet=16MiB",
        "geartrain serve --print-config > geartrain.toml  # every setting there is, to begin with",
    )
)
def serve(
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen: HOST, HOST:PORT, [::1]:PORT, unix:PATH, tls:HOST:PORT. Several are taken.",
            show_default="127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="The port of addresses that name none; 0 takes a free one.",
            show_default=str(DEFAULT_PORT),
        ),
    ] = None,
    journal: Annotated[
        str | None,
        typer.Option(
            metavar="JOURNAL",
            help="Where background jobs survive: sqlite:PATH, or memory for nowhere.",
            show_default="journal.db in this user's state folder",
        ),
    ] = None,
    keep_results: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Keep the outcomes of background jobs, such as 1h.", show_default="0"
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            envvar="GEARTRAIN_CONFIG",
            help="A TOML file with settings; the environment and these options go before it.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting, such as limits.jobs=100000; see docs/configuration.md.",
            show_default=False,
        ),
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="Speak TLS with this certificate.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="The certificate's key.")] = None,
    tls_client_ca: Annotated[
        str | None, typer.Option(metavar="FILE", help="Whose certificates peers must show.")
    ] = None,
    access: Annotated[
        str | None, typer.Option(metavar="FILE", help="Who may do what; see docs/security.md.")
    ] = None,
    job_retries: Annotated[
        int | None, typer.Option(min=0, help="Attempts of a job that loses its workers; 0: any.")
    ] = None,
    round_robin: Annotated[
        bool | None, typer.Option("--round-robin", help="Serve a worker's functions in turn.")
    ] = None,
    worker_wakeup: Annotated[
        int | None, typer.Option(min=0, help="Workers that are woken for a job; 0: all.", show_default="1")
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(help="human on a terminal and json elsewhere, or one of them always."),
    ] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="Log nothing below this.")] = None,
    log_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Log to a file, or syslog.", show_default="stderr")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show all settings, and where each is from, and end.")
    ] = False,
    until_eof: LifelineOption = False,
) -> None:
    """Run the job server until SIGTERM, Ctrl-C or a `shutdown` from gearadmin.

    Any Gearman client or worker can connect, in any language. Background jobs are acknowledged once they are
    in the journal, and go on after a restart.

    At the first SIGTERM or Ctrl-C it waits for the jobs that run, at the second it ends. SIGHUP reads
    certificates and the access file again, SIGUSR1 logs what the server holds.
    """
    from .running import gather, run

    overrides: dict[str, Any] = {
        "listen": listen,
        "port": port,
        "journal": journal,
        "tls.certificate": tls_certificate,
        "tls.key": tls_key,
        "tls.client_ca": tls_client_ca,
        "access": access,
        "keep_results": keep_results,
        "job_retries": job_retries,
        "round_robin": round_robin,
        "worker_wakeup": worker_wakeup,
        "log.format": log_format and log_format.value,
        "log.level": log_level and log_level.value,
        "log.file": log_file,
    }
    overrides = {key: value for key, value in overrides.items() if value is not None}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals:
            fail(f"--set {setting}: expected KEY=VALUE", ExitCode.USAGE)
        overrides[key.strip()] = value.strip()
    found = gather(config, overrides)
    if print_config:
        typer.echo(found.print(), nl=False)
        return
    if until_eof:
        exit_with_parent()
    run(found)
