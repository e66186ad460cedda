"""`geartrain workers`: who is connected, and what they can do."""

from __future__ import annotations

from typing import Annotated

import typer

from .help import examples
from .output import JsonOption, WatchOption, repeat, show_json, show_table
from .servers import ServerOption, ask_each, end_with, servers_of

app = typer.Typer()


@app.command(
    epilog=examples(
        "geartrain workers",
        "geartrain workers --watch 1",
        "geartrain workers --json | jq -r '.[] | select(.functions | index(\"resize\")) | .address'",
    )
)
def workers(
    everyone: Annotated[bool, typer.Option("--all", "-a", help="Clients and idle connections, too.")] = False,
    server: ServerOption = None,
    watch: WatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the connected workers: address, client id and functions.

    In a pipe each is a line of ADDRESS, FD, ID and FUNCTIONS, with tabs between them and commas between the
    functions; with several servers the server's address comes first.
    """
    servers = servers_of(server)
    repeat(watch, lambda: _show(servers, everyone, as_json))


def _show(servers: list[str], everyone: bool, as_json: bool) -> bool:
    answers = ask_each(servers, lambda admin: admin.workers())
    found = [
        (server, row) for server, answer in answers.items() for row in answer if row.functions or everyone
    ]
    if as_json:
        show_json(
            [
                {
                    "server": server,
                    "address": row.address,
                    "fd": row.fd,
                    "id": row.id,
                    "functions": list(row.functions),
                }
                for server, row in found
            ]
        )
    else:
        first = 0 if len(servers) > 1 else 1
        show_table(
            ["Server", "Address", "#FD", "ID", "Functions"][first:],
            [(server, row.address, row.fd, row.id, ",".join(row.functions))[first:] for server, row in found],
            "No worker is connected.",
        )
    end_with(servers, answers)
    return True
