"""`geartrain work`: runs a worker of a module, or one made of shell commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .exits import ExitCode, fail
from .help import examples
from .lifeline import LifelineOption, hold_lifeline
from .logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, configure_logs
from .servers import ServerOption, servers_of

if TYPE_CHECKING:
    from ..worker import Worker

app = typer.Typer()


@app.command(
    epilog=examples(
        "geartrain work tasks:worker  # the Worker named worker in tasks.py",
        "geartrain work tasks --server a.example --server b.example",
        "geartrain work --shell 'reverse=rev' --shell 'count=wc -c'",
        "geartrain work --shell 'thumbnail=convert - -resize 100 png:-' --timeout 30",
        "geartrain work --shell 'build=make 2>&1' --lines  # each line reaches the client at once",
    )
)
def work(
    target: Annotated[
        str,
        typer.Argument(metavar="[MODULE:WORKER]", help="A Worker in a Python module.", show_default=False),
    ] = "",
    shell: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FUNCTION=COMMAND",
            help="Do the jobs of a function with a shell command. May be given several times.",
        ),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="With --shell: send each line of output as data at once.")
    ] = False,
    strip: Annotated[
        bool, typer.Option("--strip", help="With --shell: leave out the newline at the end.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0.001, help="With --shell: what a job may take (CAN_DO_TIMEOUT)."
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="With --shell: goes before the functions' names.", show_default=False)
    ] = "",
    client_id: Annotated[
        str, typer.Option(help="With --shell: what servers list it as.", show_default="HOST-PID")
    ] = "",
    max_jobs: Annotated[
        int | None, typer.Option("--max-jobs", "-n", min=1, help="End after so many jobs.")
    ] = None,
    server: ServerOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    log_level: LogLevelOption = LogLevel.INFO,
    until_eof: LifelineOption = False,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C, which let the job in hand finish; a second one stops at once.

    MODULE is imported as Python does it, from the working directory or what is installed; without :WORKER the
    name is `worker`. The worker's own servers are used unless --server is given.

    A shell command gets the job on its standard input, its standard output is the result, and an exit code
    other than zero fails the job. It finds the job's names in GEARMAN_FUNCTION, GEARMAN_HANDLE and
    GEARMAN_UNIQUE.
    """
    if not target and not shell:
        fail("name a worker as MODULE:WORKER, or a --shell FUNCTION=COMMAND", ExitCode.USAGE)
    if not shell and (lines or strip or timeout):
        fail("--lines, --strip and --timeout are for --shell", ExitCode.USAGE)
    if target and (prefix or client_id):
        fail("--prefix and --client-id are for --shell; a module's worker has its own", ExitCode.USAGE)
    configure_logs(log_format, log_level)

    from ..worker import Worker

    try:
        if target:
            from .loading import load_worker

            worker = load_worker(target)
            if server:
                worker.servers = servers_of(server)
        else:
            worker = Worker(servers_of(server), prefix=prefix, client_id=client_id)
        for definition in shell or ():
            _register(worker, definition, lines, strip, timeout)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)
    if until_eof:
        hold_lifeline()
    _run(worker, max_jobs)


def _register(worker: Worker, definition: str, lines: bool, strip: bool, timeout: float | None) -> None:
    from .shell import ShellFunction

    function, equals, command = definition.partition("=")
    if not (function and equals and command.strip()):
        fail(f"{definition!r}: --shell wants FUNCTION=COMMAND", ExitCode.USAGE)
    worker.register(function, ShellFunction(command, lines=lines, strip=strip), timeout=timeout)


def _run(worker: Worker, max_jobs: int | None) -> None:
    import structlog

    log = structlog.get_logger("geartrain.worker")
    log.info("the worker works", functions=list(worker.functions), servers=list(worker.servers))
    jobs = worker.run(max_jobs)
    log.info("the worker has stopped", jobs=jobs)
