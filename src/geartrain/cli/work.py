"""`geartrain work`: runs a worker of a module, or one made of shell commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from .arguments import arguments_of, this_program
from .exits import ExitCode, fail
from .help import examples
from .lifeline import LifelineOption, exit_with_parent
from .logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, configure_logs, log_jobs
from .servers import ServerOption, servers_of
from .times import read_seconds, read_seconds_or_none, read_size

if TYPE_CHECKING:
    from ..worker import Worker
    from ..worker.pool.process import ProcessOptions

app = typer.Typer()


@app.command(
    epilog=examples(
        "geartrain work tasks:worker  # the Worker named worker in tasks.py",
        "geartrain work tasks --server a.example --server b.example",
        "geartrain work tasks --processes 4 --threads 8 --max-jobs 10000",
        "geartrain work tasks --concurrency 100  # coroutine functions, many jobs at a time",
        "geartrain work tasks --reload  # while you write it",
        "geartrain work --shell 'reverse=rev' --shell 'count=wc -c'",
        "geartrain work --shell 'thumbnail=convert - -resize 100 png:-' --timeout 30",
        "geartrain work --shell 'build=make 2>&1' --lines  # each line reaches the client at once",
    )
)
def work(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(metavar="MODULE:WORKER", help="A Worker in a Python module.", show_default=False),
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
            metavar="TIME",
            parser=read_seconds,
            help="With --shell: time limit of a job; then its command is stopped.",
        ),
    ] = None,
    prefix: Annotated[
        str,
        typer.Option(
            metavar="PREFIX", help="With --shell: goes before the functions' names.", show_default=False
        ),
    ] = "",
    client_id: Annotated[
        str,
        typer.Option(metavar="ID", help="With --shell: what servers list it as.", show_default="HOST-PID"),
    ] = "",
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            "-p",
            metavar="N",
            min=1,
            help="Work in so many processes, and replace those that end.",
            show_default="this one",
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            "--threads", "-t", metavar="N", min=1, help="Jobs of plain functions at a time, in a process."
        ),
    ] = 1,
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency",
            "-c",
            metavar="N",
            min=0,
            help="Jobs of coroutine functions at a time, in a process, on one event loop.",
            show_default="as plain ones",
        ),
    ] = 0,
    grace: Annotated[
        float,
        typer.Option(
            metavar="TIME",
            parser=read_seconds_or_none,
            help="How long the jobs in hand may take to finish; then it stops.",
        ),
    ] = 30.0,
    max_jobs: Annotated[
        int | None,
        typer.Option("--max-jobs", "-n", metavar="N", min=1, help="End a process after so many jobs."),
    ] = None,
    max_memory: Annotated[
        int | None,
        typer.Option(
            metavar="SIZE",
            parser=read_size,
            help="End a process that holds more memory after a job, such as 512M.",
        ),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew when a Python file below this folder has changed.")
    ] = False,
    server: ServerOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    log_level: LogLevelOption = LogLevel.INFO,
    until_eof: LifelineOption = False,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C, which let the jobs in hand finish; a second one stops at once.

    MODULE is imported as Python does it, from the working directory or what is installed; without :WORKER the
    name is `worker`. The worker's own servers are used unless --server is given.

    A shell command gets the job on its standard input, its standard output is the result, and an exit code
    other than zero fails the job. It finds the job's names in GEARMAN_FUNCTION, GEARMAN_HANDLE and
    GEARMAN_UNIQUE.

    With --processes a parent looks after the processes: one that crashes, has done its --max-jobs, or whose
    job went past its time limit, is replaced. SIGHUP replaces them all.
    """
    if not target and not shell:
        fail("name a worker as MODULE:WORKER, or a --shell FUNCTION=COMMAND", ExitCode.USAGE)
    if not shell and (lines or strip or timeout):
        fail("--lines, --strip and --timeout are for --shell", ExitCode.USAGE)
    if target and (prefix or client_id):
        fail("--prefix and --client-id are for --shell; a module's worker has its own", ExitCode.USAGE)
    if until_eof:
        exit_with_parent()
    if processes or reload:
        configure_logs(log_format, log_level)
        arguments = arguments_of(context, without={"processes", "reload", "until_eof"})
        _supervise(arguments, processes or 1, grace, reload)
    from ..worker import Worker
    from ..worker.logs import add_job
    from ..worker.pool.process import ProcessOptions

    configure_logs(log_format, log_level, processors=[add_job])
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
    if log_level is LogLevel.DEBUG:
        log_jobs(worker)
    _run(worker, ProcessOptions(threads, concurrency, grace, max_jobs, max_memory))


def _register(worker: Worker, definition: str, lines: bool, strip: bool, timeout: float | None) -> None:
    from .shell import ShellFunction

    function, equals, command = definition.partition("=")
    if not (function and equals and command.strip()):
        fail(f"{definition!r}: --shell wants FUNCTION=COMMAND", ExitCode.USAGE)
    shell = ShellFunction(command, lines=lines, strip=strip, limit=timeout)
    worker.register(function, shell, timeout=shell.server_timeout)


def _supervise(arguments: list[str], processes: int, grace: float, reload: bool) -> NoReturn:
    """Be the parent of processes that work with these arguments."""
    from ..worker.pool import Supervisor

    command = [*this_program(), "work", "--until-eof", *arguments]
    try:
        supervisor = Supervisor(command, processes, grace=grace, reload=[Path.cwd()] if reload else [])
        code = supervisor.run()
    except ModuleNotFoundError as error:
        fail(f"--reload needs {error.name}: pip install 'geartrain[reload]'", ExitCode.USAGE)
    raise typer.Exit(code)


def _run(worker: Worker, options: ProcessOptions) -> NoReturn:
    import structlog

    from ..worker.pool.process import WorkerProcess
    from .shell import kill_running

    log = structlog.get_logger("geartrain.worker")
    log.info("the worker works", functions=list(worker.functions), servers=list(worker.servers))
    process = WorkerProcess(worker, options, kill_running)
    code = process.run()
    log.info("the worker has stopped", jobs=process.jobs)
    raise typer.Exit(code)
