"""`geartrain gearmand`: the job server under gearmand's own options, for start scripts that are there.

Each option of gearmand is taken. Those that have a meaning here become settings; the others are named in one
line of the log.
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

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

_NO_EFFECT: Final = {
    "coredump": "the system's limit on core files counts",
    "hashtable-buckets": "the tables grow by themselves",
    "http-port": "there is no HTTP protocol module",
    "keepalive": "it is always on",
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

# Files that gearmand takes unless it is told others.
_TLS_FILES: Final = {
    "certificate": "/etc/ssl/certs/gearmand.pem",
    "key": "/etc/ssl/private/gearmand.key",
    "client_ca": "/etc/ssl/certs/gearmand-ca.pem",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="geartrain gearmand",
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the job server under gearmand's options.",
        epilog="The others of gearmand's options are taken, too, and have no effect; the log says why.\n\n"
        "Examples:\n"
        "  geartrain gearmand --port=4730 --listen=127.0.0.1 --log-file=stderr\n"
        "  geartrain gearmand -d --pid-file=/run/gearmand.pid -q libsqlite3 --libsqlite3-db=queue.db",
    )
    add = parser.add_argument
    add("-b", "--backlog", type=int, help="connections that the kernel holds until they are accepted")
    add("-d", "--daemon", action="store_true", help="run in the background; returns once it listens")
    add("--exceptions", action="store_true", default=None, help="clients get exceptions without asking")
    add("-f", "--file-descriptors", type=int, help="file descriptors to use at most")
    add("-h", "--help", action="help", help="show this and end")
    add("-j", "--job-retries", type=int, help="attempts of a job that loses its workers; 0: any")
    add("--job-handle-prefix", help="what handles begin with")
    add("--keepalive-idle", type=int, help="seconds of silence before the first probe")
    add("--keepalive-interval", type=int, help="seconds between two probes")
    add("--keepalive-count", type=int, help="probes without an answer that end a connection")
    add("-l", "--log-file", help="where to log; also stderr and none")
    add("-L", "--listen", help="where to listen; all addresses unless given")
    add("-P", "--pid-file", help="where to write the process id")
    add("-R", "--round-robin", action="store_true", default=None, help="serve functions in turn")
    add("-q", "--queue-type", default="builtin", help="builtin: in memory; any other: in the journal")
    add("--config-file", help=f"lines such as port=4730; {DEFAULT_CONFIG} if it is there")
    add("--syslog", action="store_true", help="log to the system's log")
    add("-u", "--user", help="the user to become once it listens")
    add("--verbose", type=str.upper, choices=_LEVELS, help="how much to log")
    add("-V", "--version", action="version", version=f"geartrain gearmand {__version__}")
    add("-w", "--worker-wakeup", type=int, help="workers that are woken for a job; 0: all")
    add("-p", "--port", type=int, help="the port; 4730")
    add("--ssl", action="store_true", help="speak TLS")
    add("--ssl-ca-file", help="whose certificates peers may show")
    add("--ssl-certificate", help="the server's certificate")
    add("--ssl-key", help="its key")
    add("--libsqlite3-db", help="with -q libsqlite3: the journal is beside this file")
    for name in _NO_EFFECT:
        flags = {"threads": ["-t"], "protocol": ["-r"]}.get(name, [])
        action = "store_true" if name in ("coredump", "keepalive", "store-queue-on-shutdown") else "store"
        add(*flags, f"--{name}", action=action, help=argparse.SUPPRESS)
    return parser


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """gearmand's options, those of its configuration file first."""
    parser = _parser()
    given = parser.parse_args(arguments)
    path = given.config_file
    if path is None and os.path.exists(DEFAULT_CONFIG):
        path = DEFAULT_CONFIG
    if path is None:
        return given
    try:
        with open(path.removeprefix("@"), encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        fail(f"{path}: {error.strerror}", ExitCode.USAGE)
    except UnicodeDecodeError as error:
        fail(f"{path}: byte {error.start + 1} is not UTF-8", ExitCode.USAGE)
    if path.startswith("@"):
        lines = shlex.split(text, comments=True)
    else:
        lines = ["--" + line for line in map(_setting_of, text.splitlines()) if line]
    return parser.parse_args([*lines, *arguments])


def _setting_of(line: str) -> str:
    name, equals, value = line.partition("#")[0].partition("=")
    return name.strip() + (equals and f"={value.strip()}")


def settings_of(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """What gearmand's options are as settings, and those without effect, each with the reason."""
    settings: dict[str, Any] = {
        "listen": [options.listen] if options.listen else ["0.0.0.0", *(["::"] if _has_ipv6() else [])]
    }
    for name, key in _SETTINGS.items():
        value = getattr(options, name)
        # gearmand's -1 stands for the default.
        if value is not None and value != -1:
            settings[key] = value
    if options.file_descriptors:
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
    if options.queue_type == "builtin":
        settings["journal"] = "memory"
    elif options.libsqlite3_db:
        settings["journal"] = f"sqlite:{options.libsqlite3_db}.geartrain"
    if options.queue_type != "builtin":
        no_effect["queue_type"] = f"{options.queue_type} is not written, jobs are kept in the journal"
    if options.ssl:
        files = {
            "certificate": options.ssl_certificate,
            "key": options.ssl_key,
            "client_ca": options.ssl_ca_file,
        }
        settings |= {f"tls.{name}": file or _TLS_FILES[name] for name, file in files.items()}
        settings["tls.client_required"] = False
    return settings, no_effect


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
    """Run the job server under gearmand's options, for start scripts that are there (`--help` lists them)."""
    options = read_options(context.args)
    settings, no_effect = settings_of(options)
    from .running import gather, run

    found = gather(None, settings)
    tell = _daemonize() if options.daemon else None

    def listening() -> None:
        if no_effect:
            import structlog

            log = structlog.get_logger("geartrain.gearmand")
            log.warning("options without effect", **no_effect)
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
