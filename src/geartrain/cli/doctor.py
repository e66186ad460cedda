"""`geartrain doctor`: a look at a running job server and at the machine, and what to change."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from ..errors import GeartrainError
from .exits import ExitCode
from .help import examples
from .output import JsonOption, counted, jobs, show_json, show_table
from .servers import ServerOption, servers_of

if TYPE_CHECKING:
    from ..client import Client

app = typer.Typer()

SLOW: Final = 0.1
"""Seconds that an echo takes at most on a server that is well."""
NEARLY: Final = 0.8
"""The share of a limit from which on it is worth a word."""
MANY_DESCRIPTORS: Final = 4096
ALL: Final = ("0.0.0.0", "[::]")

GOOD, FAIR, BAD = "good", "look", "bad"


class Finding(NamedTuple):
    """What was looked at, how it is, and what to change if it is not well."""

    what: str
    verdict: str
    advice: str


@app.command(
    epilog=examples(
        "geartrain doctor",
        "geartrain doctor --server queue.example.org || echo 'look at the queue'",
        "geartrain doctor --json | jq '.[] | select(.verdict != \"good\")'",
    )
)
def doctor(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """Check a running job server and this machine's limits, and say what to change.

    Ends with 1 if something is bad, and with 3 if a server does not answer. Of gearmand it learns less than
    of our own server.
    """
    findings: dict[str, list[Finding]] = {"this machine": list(_look_at_machine())}
    unreachable = False
    for address in servers_of(server):
        try:
            findings[address] = list(_look_at_server(address))
        except GeartrainError as error:
            unreachable = True
            findings[address] = [
                Finding("reach it", BAD, f"{error}; is it running, and where does it listen?")
            ]
    rows = [(where, *finding) for where, found in findings.items() for finding in found]
    if as_json:
        keys = ("where", *Finding._fields)
        show_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        show_table(["Where", "What", "Verdict", "Advice"], rows, "There is nothing to look at.")
    if unreachable:
        raise typer.Exit(ExitCode.NO_SERVER)
    if any(row[2] == BAD for row in rows):
        raise typer.Exit(ExitCode.FAILED)


# The server


def _look_at_server(address: str) -> Iterator[Finding]:
    from ..client import Client
    from ..errors import JobError, ServerError

    with Client(address, timeout=10.0) as client:
        client.echo(b"warm")
        began = time.monotonic()
        client.echo(b"are you well?")
        took = time.monotonic() - began
        told = f"an echo takes {took * 1000:.1f} ms"
        yield Finding(told, GOOD if took < SLOW else FAIR, "" if took < SLOW else "it is busy, or far away")
        try:
            # gearmand would keep a job to this function until the end of its days.
            report = _report(client) if _is_ours(address) else None
        except (JobError, ServerError, ValueError):
            report = None
    if report is None:
        yield Finding("its numbers", FAIR, "it does not tell them: it is another server, or its rules forbid")
    else:
        yield from _look_at_report(report)
    yield from _look_at_functions(address)


def _is_ours(address: str) -> bool:
    """Whether a server answers a question that gearmand refuses."""
    from ..client import Admin
    from ..errors import ServerError

    with Admin(address) as admin:
        try:
            # Without a right level it changes nothing; gearmand ignores the level and answers OK.
            admin.verbosity("?")
        except ServerError:
            return True
        return False


def _report(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.run("geartrain.report"))
    return found


def _look_at_report(report: dict[str, Any]) -> Iterator[Finding]:
    trouble = report["journal_trouble"]
    yield Finding(
        f"journal {report['journal']}",
        BAD if trouble else FAIR if report["journal"] == "memory" else GOOD,
        trouble or ("background jobs end with the server" if report["journal"] == "memory" else ""),
    )
    exposed = [each for each in report["addresses"] if not _is_local(each)]
    if exposed and not report["tls"] and not report["access"]:
        yield Finding(
            f"listens on {', '.join(exposed)}", BAD, "anybody may use it: set up TLS or an access file"
        )
    for one, more, now, most, setting in (
        (
            *("connection", "connections", "connections", "connections_limit"),
            "limits.connections, or the limit on open files",
        ),
        (
            *("byte of jobs", "bytes of jobs", "job_bytes", "job_bytes_limit"),
            "limits.job_bytes, or more workers",
        ),
        ("function", "functions", "functions", "functions_limit", "limits.functions"),
    ):
        share = report[now] / report[most] if report[most] else 0.0
        yield Finding(
            f"{counted(report[now], one, more)} of {f'{report[most]:,}' if report[most] else 'any number'}",
            FAIR if share > NEARLY else GOOD,
            f"raise {setting}" if share > NEARLY else "",
        )
    limit = report["descriptor_limit"]
    if limit < MANY_DESCRIPTORS:
        yield Finding(f"{limit} open files allowed", FAIR, "raise ulimit -n, or LimitNOFILE= in the unit")
    if report["clogged"]:
        yield Finding(
            f"{report['clogged']} peers do not read", FAIR, "kill -USR1 logs which, as unread bytes"
        )
    if report.get("quarantine"):
        yield Finding(
            counted(report["quarantine"], "stored item can't be used", "stored items can't be used"),
            BAD,
            "geartrain quarantine list says which and why; replace or drop each",
        )
    if report["dead"]:
        yield Finding(
            counted(report["dead"], "dead job", "dead jobs"), FAIR, "geartrain dead list shows them"
        )
    somaxconn = _number("/proc/sys/net/core/somaxconn")
    if somaxconn is not None and report["backlog"] > somaxconn:
        yield Finding(
            f"backlog {report['backlog']}", FAIR, f"the kernel cuts it to net.core.somaxconn={somaxconn}"
        )


def _is_local(address: str) -> bool:
    from ..wire.address import parse_address

    return parse_address(address).is_local


def _look_at_functions(address: str) -> Iterator[Finding]:
    from ..client import Admin

    with Admin(address) as admin:
        for row in admin.status():
            if row.queued and not row.workers:
                yield Finding(f"{row.function!r}: {jobs(row.queued)} waiting", BAD, "no worker announces it")


# The machine


def _look_at_machine() -> Iterator[Finding]:
    import resource
    import sys

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = hard != resource.RLIM_INFINITY and hard < MANY_DESCRIPTORS
    yield Finding(
        f"open files: {soft}, at most {hard}", FAIR if few else GOOD, "raise ulimit -Hn" if few else ""
    )
    from ..version import form

    # The server may run elsewhere, or from another installation: this tells of the command alone.
    yield Finding(f"this command: Python {sys.version.split()[0]}, {form()} form", GOOD, "")
    try:
        import uvloop  # noqa: F401
    except ImportError:
        yield Finding("this command finds no uvloop", FAIR, "a server started from here does more with it")
    free = _number("/proc/sys/vm/overcommit_memory")
    if free == 2:
        yield Finding("vm.overcommit_memory=2", FAIR, "large packets may fail though there is memory")


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
