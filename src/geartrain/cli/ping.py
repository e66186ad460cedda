"""`geartrain ping`: whether the job servers answer, and how fast."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from ..errors import GeartrainError
from .exits import ExitCode, complain
from .help import examples
from .output import JsonOption, show_json, show_table
from .servers import ServerOption, servers_of
from .times import read_seconds

app = typer.Typer()

SIZE: Final = 64
"""Bytes of an echo."""


@app.command(
    epilog=examples(
        "geartrain ping",
        "geartrain ping --server a.example --server b.example",
        "until geartrain ping --timeout 1; do sleep 1; done  # wait for a server to come up",
    )
)
def ping(
    count: Annotated[int, typer.Option("--count", "-c", min=1, help="Echoes to send to each server.")] = 3,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", "-t", parser=read_seconds, metavar="TIME", help="For each answer: 2s, or 2."
        ),
    ] = 5.0,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask each job server for an echo, and show how long it took: the quickest, the median and the slowest.

    In a pipe each server is a line of ADDRESS, VERSION, and the three times in milliseconds, with tabs
    between them. The exit code is 3 if one of them does not answer.
    """
    servers = servers_of(server)
    rows: list[dict[str, object]] = []
    for address in servers:
        try:
            rows.append(_ping(address, count, timeout))
        except GeartrainError as error:
            complain(str(error))
    if as_json:
        show_json(rows)
    elif rows:
        names = ["Server", "Version", "#Quickest (ms)", "#Median (ms)", "#Slowest (ms)"]
        show_table(names, [[*row.values()] for row in rows], "")
    if len(rows) < len(servers):
        raise typer.Exit(ExitCode.NO_SERVER)


def _ping(address: str, count: int, timeout: float) -> dict[str, object]:
    from ..client import Admin, Client

    times: list[float] = []
    with Client(address, connect_timeout=timeout, timeout=timeout) as client:
        for _ in range(count):
            start = time.perf_counter()
            client.echo(bytes(SIZE))
            times.append(1000 * (time.perf_counter() - start))
    with Admin(address, timeout=timeout) as admin:
        version = admin.version()
    times.sort()
    low, middle, high = (round(times[place], 3) for place in (0, len(times) // 2, -1))
    return {"server": address, "version": version, "min_ms": low, "median_ms": middle, "max_ms": high}
