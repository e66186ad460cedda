"""`geartrain gearmand`: the job server under gearmand's own options, for start scripts that are there.

Each option of gearmand is taken. Those that have a meaning here become settings; the others are named in one
line of the log.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import typer

from ..version import __version__
from .exits import ExitCode, fail

app = typer.Typer()

DEFAULT_CONFIG: Final = "/etc/gearmand.conf"
DEFAULT_LOG: Final = "/var/log/gearmand.log"

_LEVELS: Final = {
    "FATAL": "critical",
    "ALERT": "critical",
    "CRITICAL": "critical",
    "ERROR": "error",
    "WARNING": "warning",
    "NOTICE": "info",
    "INFO": "info",
    "DEBUG": "debug",
}

# Options whose value is a setting as it is.
_SETTINGS: Final = {
    "backlog": "backlog",
    "job_retries": "job_retries",
    "job_handle_prefix": "handle_prefix",
    "keepalive_idle": "keepalive.idle",
    "keepalive_interval": "keepalive.interval",
    "keepalive_count": "keepalive.probes",
    "pid_file": "pid_file",
    "port": "port",
    "round_robin": "round_robin",
    "exceptions": "exceptions",
    "user": "user",
    "worker_wakeup": "worker_wakeup",
}

# The kernel's limits; gearmand takes larger values.
_MOST: Final = {"keepalive_idle": 32767, "keepalive_interval": 32767, "keepalive_count": 127}

_INT: Final = (-(2**31), 2**31 - 1)
_UNSIGNED: Final = (-(2**32) + 1, 2**32 - 1)
_UNSIGNED_LONG: Final = (-(2**64) + 1, 2**64 - 1)
_PORT: Final = (-(2**16) + 1, 2**16 - 1)
"""Ranges of gearmand's types. Its unsigned numbers take a minus, too."""

_NO_EFFECT: Final = {
    "coredump": "the system's limit on core files counts",
    "hashtable-buckets": "the tables grow by themselves",
    "http-port": "there is no HTTP protocol module",
    "keepalive": "it is always on",
    **dict.fromkeys(
        (
            "libdrizzle-host",
            "libdrizzle-port",
            "libdrizzle-uds",
            "libdrizzle-user",
            "libdrizzle-password",
            "libdrizzle-db",
            "libdrizzle-table",
            "libdrizzle-mysql",
            "libtokyocabinet-file",
            "libtokyocabinet-optimize",
        ),
        "jobs are kept in the journal",
    ),
    "libmemcached-prefix": "jobs are kept in the journal",
    "libmemcached-servers": "jobs are kept in the journal",
    "libpq-conninfo": "jobs are kept in the journal",
    "libpq-table": "jobs are kept in the journal",
    "libsqlite3-table": "the journal has tables of its own",
    "mysql-db": "jobs are kept in the journal",
    "mysql-host": "jobs are kept in the journal",
    "mysql-password": "jobs are kept in the journal",
    "mysql-port": "jobs are kept in the journal",
    "mysql-table": "jobs are kept in the journal",
    "mysql-user": "jobs are kept in the journal",
    "protocol": "there is no HTTP protocol module",
    "redis-password": "jobs are kept in the journal",
    "redis-port": "jobs are kept in the journal",
    "redis-prefix": "jobs are kept in the journal",
    "redis-server": "jobs are kept in the journal",
    "store-queue-on-shutdown": "jobs are in the journal when they are acknowledged",
    "threads": "one thread serves them all",
}

_NO_EFFECT_FLAGS: Final = {
    "coredump",
    "keepalive",
    "libdrizzle-mysql",
    "libtokyocabinet-optimize",
    "store-queue-on-shutdown",
}

_QUEUES: Final = {
    "builtin",
    "libdrizzle",
    "libmemcached",
    "libpq",
    "libsqlite3",
    "libtokyocabinet",
    "mysql",
    "postgres",
    "redis",
}

PORT_VARIABLE: Final = "GEARMAND_PORT"

# Environment variables and default files of gearmand.
_TLS_FILES: Final = {
    "certificate": ("GEARMAND_SERVER_PEM", "/etc/ssl/certs/gearmand.pem"),
    "key": ("GEARMAND_SERVER_KEY", "/etc/ssl/private/gearmand.key"),
    "client_ca": ("GEARMAND_CA_CERTIFICATE", "/etc/ssl/certs/gearmand-ca.pem"),
}


class _Once(argparse.Action):
    """An option with a value that may be given once, as in gearmand."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value."""
        given: set[str] = namespace.__dict__.setdefault("_given", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, "can't be given more than once")
        given.add(self.dest)
        setattr(namespace, self.dest, values if self.nargs is None else True)


class _Flag(_Once):
    """An option without a value that may be given once."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keywords: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=None, **keywords)


class _Parser(argparse.ArgumentParser):
    """Parser with gearmand's exit code for wrong arguments."""

    def error(self, message: str) -> NoReturn:
        """Name the mistake and end with exit code 1."""
        fail(message, ExitCode.FAILED)


def _number(text: str) -> int:
    # As C++ reads it: no blanks, no underscores, no digits of other scripts.
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _within(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = _number(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, got {number}")
        return number

    return read


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,20}", text):
        try:
            return socket.getservbyname(text, "tcp")
        except OSError:
            raise argparse.ArgumentTypeError(
                f"expected a port or the name of a service, got {text!r}"
            ) from None
    return _within(0, 65535)(text)


def _buckets(text: str) -> int:
    number = _within(*_UNSIGNED)(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected a number from 1 on, got 0")
    return number


def _level(text: str) -> str:
    if text.upper() not in _LEVELS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(_LEVELS)}, got {text!r}")
    return text.upper()


def _queue(text: str) -> str:
    if text.lower() not in _QUEUES:
        raise argparse.ArgumentTypeError(f"there is no queue type {text!r}")
    return text.lower()


def _protocol(text: str) -> str:
    if text.lower() != "http":
        raise argparse.ArgumentTypeError(f"there is no protocol module {text!r}")
    return text


def _parser(*, abbreviations: bool) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="geartrain gearmand",
        add_help=False,
        allow_abbrev=abbreviations,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the job server under gearmand's options.",
        epilog="The others of gearmand's options are taken, too, and have no effect; the log says why.\n"
        "A flag goes before the configuration file, the file before GEARMAND_PORT, GEARMAND_CA_CERTIFICATE,\n"
        "GEARMAND_SERVER_PEM and GEARMAND_SERVER_KEY of the environment.\n\n"
        "Examples:\n"
        "  geartrain gearmand --port=4730 --listen=127.0.0.1 --log-file=stderr\n"
        "  geartrain gearmand -d --pid-file=/run/gearmand.pid -q libsqlite3 --libsqlite3-db=queue.db\n"
        "  geartrain gearmand --check-args --config-file=/etc/gearmand.conf",
    )

    def add(*flags: str, help: str, type: Callable[[str], Any] = str, dest: str | None = None) -> None:
        more: dict[str, Any] = {"dest": dest} if dest else {}
        parser.add_argument(*flags, action=_Once, type=type, help=help, **more)

    def flag(*flags: str, help: str) -> None:
        parser.add_argument(*flags, action=_Flag, help=help)

    add(
        "-b",
        "--backlog",
        type=_within(*_INT),
        help="connections that the kernel holds until they are accepted",
    )
    flag("--check-args", help="read the options and the configuration file, start nothing; exit code 0 or 1")
    flag("-d", "--daemon", help="run in the background; returns once it listens")
    flag("--exceptions", help="clients get exceptions without asking")
    add("-f", "--file-descriptors", type=_within(*_UNSIGNED_LONG), help="file descriptors to use at most")
    flag("-h", "--help", help="show this and end")
    add(
        "-j", "--job-retries", type=_within(-1, 255),
        help="attempts of a job that loses its workers; 0: one, -1: any number",
    )  # fmt: skip
    add("--job-handle-prefix", help="prefix of handles")
    add("--keepalive-idle", type=_within(*_INT), help="seconds of silence before the first probe")
    add("--keepalive-interval", type=_within(*_INT), help="seconds between two probes")
    add("--keepalive-count", type=_within(*_INT), help="probes without an answer that end a connection")
    add("-l", "--log-file", help="log file, stderr or none")
    add("-L", "--listen", help="address to listen on, by default all")
    add("-P", "--pid-file", help="file for the process id")
    flag("-R", "--round-robin", help="serve functions of one priority in turn")
    add("-q", "--queue-type", type=_queue, help="builtin: in memory; any other: in the journal")
    add(
        "--config-file",
        help=f"options such as --port 4730, separated by blanks; {DEFAULT_CONFIG} if it exists",
    )
    flag("--syslog", help="log to the system's log")
    add("-u", "--user", help="user to become once it listens")
    add("-v", "--verbose", type=_level, help="least important level to log, such as INFO")
    flag("-V", "--version", help="show the version and end")
    add("-w", "--worker-wakeup", type=_within(*_UNSIGNED), help="workers to wake for a job; 0: all")
    add("-p", "--port", type=_port, help="port or service name; 4730 unless GEARMAND_PORT is set")
    flag("--ssl", help="speak TLS")
    add("--ssl-ca-file", help="authorities of the peers' certificates, a PEM file")
    add("--ssl-certificate", help="the server's certificate, a PEM file")
    add("--ssl-key", help="its private key, a PEM file")
    add("--libsqlite3-db", help="with -q libsqlite3: the journal is beside this file")
    hidden = argparse.SUPPRESS
    add("--hashtable-buckets", type=_buckets, help=hidden)
    add("-t", "--threads", type=_within(*_UNSIGNED), help=hidden)
    add("--mysql-port", type=_within(*_PORT), help=hidden)
    add("-r", "--protocol", type=_protocol, help=hidden)
    for name in _NO_EFFECT:
        if name in ("hashtable-buckets", "threads", "protocol", "mysql-port"):
            continue
        if name in _NO_EFFECT_FLAGS:
            flag(f"--{name}", help=hidden)
        else:
            add(f"--{name}", help=hidden)
    return parser


def read_options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return gearmand's options, and the words of its configuration file that are not options.

    A flag on the command line goes before the same one in the file. Ends the command if one of them is wrong.
    """
    for word in arguments:
        if re.fullmatch("-v+", word):
            fail(f"{word} is not an option any more: use --verbose=INFO", ExitCode.FAILED)
    _refuse_empty(arguments)
    given = _parser(abbreviations=False).parse_args(arguments)
    ignored: list[str] = []
    text = _config_text(given.config_file)
    if text is not None:
        # As gearmand reads it: words between blanks, without quotes and comments; abbreviations are allowed.
        words = [word for word in re.split("[ \n\r]+", text) if word]
        _refuse_empty(words)
        from_file, ignored = _parser(abbreviations=True).parse_known_args(words)
        if wrong := [word for word in ignored if word.startswith("-")]:
            fail(f"{given.config_file or DEFAULT_CONFIG}: there is no option {wrong[0]}", ExitCode.FAILED)
        if from_file.check_args:
            fail(f"{given.config_file or DEFAULT_CONFIG}: there is no option --check-args", ExitCode.FAILED)
        for name, value in vars(from_file).items():
            if name != "_given" and getattr(given, name) is None:
                setattr(given, name, value)
    return given, ignored


def _refuse_empty(words: Sequence[str]) -> None:
    """End the command if an option has an equal sign and no value after it."""
    for word in words:
        if re.fullmatch("--[^=]+=", word):
            fail(f"{word}: the value is missing", ExitCode.FAILED)


def _config_text(path: str | None) -> str | None:
    """Return the configuration file's text; None if there is none at the default path."""
    if path is None:
        if not os.path.exists(DEFAULT_CONFIG):
            return None
        path = DEFAULT_CONFIG
    elif path.startswith("@") and not os.path.exists(path):
        path = path[1:]
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        fail(f"{path}: {error.strerror}", ExitCode.FAILED)
    except UnicodeDecodeError as error:
        fail(f"{path}: byte {error.start + 1} is not UTF-8", ExitCode.FAILED)


def settings_of(
    options: argparse.Namespace, environment: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return gearmand's options as settings, and the options without effect, each with the reason."""
    from ..server.config import is_of_kubernetes

    environment = environment or {}
    settings: dict[str, Any] = {
        "listen": [options.listen] if options.listen else ["0.0.0.0", *(["::"] if _has_ipv6() else [])]
    }
    for name, key in _SETTINGS.items():
        value = getattr(options, name)
        # gearmand's -1 stands for the default, and what is below makes as little sense here.
        if value is None or (isinstance(value, int) and value < 0):
            continue
        settings[key] = min(value, _MOST[name]) if name in _MOST else value
    if options.job_retries == 0:
        # In gearmand an explicit 0 means no retry. Here 0 attempts would mean any number.
        settings["job_retries"] = 1
    port = environment.get(PORT_VARIABLE, "")
    if options.port is None and port and not is_of_kubernetes(PORT_VARIABLE, port):
        settings["port"] = _port_of_environment(port)
    if options.file_descriptors and options.file_descriptors > 0:
        settings["limits.connections"] = max(1, options.file_descriptors - 24)
    if options.verbose:
        settings["log.level"] = _LEVELS[options.verbose]
    if options.syslog:
        settings["log.file"] = "syslog"
    elif options.log_file:
        settings["log.file"] = "" if options.log_file == "stderr" else options.log_file
    elif options.daemon:
        settings["log.file"] = DEFAULT_LOG
    no_effect = {
        name.replace("-", "_"): why
        for name, why in _NO_EFFECT.items()
        if getattr(options, name.replace("-", "_")) not in (None, False)
    }
    queue = options.queue_type or "builtin"
    if queue == "builtin":
        settings["journal"] = "memory"
    elif options.libsqlite3_db:
        settings["journal"] = f"sqlite:{options.libsqlite3_db}.geartrain"
    if queue != "builtin":
        no_effect["queue_type"] = f"{queue} is not written, jobs are kept in the journal"
    if options.ssl:
        files = {
            "certificate": options.ssl_certificate,
            "key": options.ssl_key,
            "client_ca": options.ssl_ca_file,
        }
        for name, file in files.items():
            variable, default = _TLS_FILES[name]
            settings[f"tls.{name}"] = file or environment.get(variable) or default
        settings["tls.client_required"] = False
    return settings, no_effect


def _port_of_environment(text: str) -> int:
    try:
        return _port(text)
    except argparse.ArgumentTypeError as error:
        fail(f"{PORT_VARIABLE}: {error}", ExitCode.FAILED)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
def gearmand(context: typer.Context) -> None:
    """Run the job server under gearmand's options, for existing start scripts (`--help` lists them)."""
    options, ignored = read_options(context.args)
    settings, no_effect = settings_of(options, os.environ)
    if options.help and not options.check_args:
        _parser(abbreviations=False).print_help()
        return
    if options.version and not options.check_args:
        typer.echo(f"geartrain gearmand {__version__}")
        return
    try:
        _start(options, settings, no_effect, ignored)
    except typer.Exit as end:
        # gearmand has one exit code for everything that goes wrong.
        raise typer.Exit(ExitCode.FAILED if end.exit_code else ExitCode.OK) from None


def _start(
    options: argparse.Namespace, settings: dict[str, Any], no_effect: dict[str, str], ignored: list[str]
) -> None:
    from .running import gather, run

    found = gather(None, settings)
    if options.check_args:
        return
    tell = _daemonize() if options.daemon else None

    def listening() -> None:
        import structlog

        log = structlog.get_logger("geartrain.gearmand")
        if no_effect:
            log.warning("options without effect", **no_effect)
        if ignored:
            log.warning("words of the configuration file that are not options", words=ignored)
        if tell is not None:
            os.write(tell, b"y")
            os.close(tell)

    run(found, listening)


def _daemonize() -> int:
    """Go on in the background, and let the foreground wait: it ends well when the descriptor gets a byte."""
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os._exit(0 if os.read(ready, 1) else 1)
    os.close(ready)
    os.setsid()
    if os.fork():
        os._exit(0)
    # In the same folder, as gearmand: paths on the command line may be relative to it.
    sys.stdout.flush()
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return tell
