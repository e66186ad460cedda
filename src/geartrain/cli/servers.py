"""Which job servers a command talks to: `--server`, or GEARMAN_SERVERS, or the one on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ..environment import DEFAULT_SERVER, SERVERS, default_servers
from ..errors import GeartrainError
from ..wire.address import parse_address
from .exits import ExitCode, code_of, complain, fail

if TYPE_CHECKING:
    from ..client import Admin

T = TypeVar("T")


ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        "-s",
        metavar="ADDRESS",
        help="A job server: HOST, HOST:PORT, [::1]:PORT, unix:PATH or tls:HOST:PORT. Several are taken.",
        show_default=f"${SERVERS}, or {DEFAULT_SERVER}",
    ),
]


def servers_of(given: list[str] | None) -> list[str]:
    """The job servers to talk to, in order, each an address that can be read."""
    servers = given or default_servers()
    for server in servers:
        try:
            parse_address(server)
        except ValueError as error:
            fail(str(error), ExitCode.USAGE)
    return servers


def ask_each(servers: list[str], question: Callable[[Admin], T]) -> dict[str, T]:
    """Ask every server something; what is missing in the answers was complained about.

    Ends the command if none of them answers.
    """
    from ..client import Admin

    answers: dict[str, T] = {}
    code = ExitCode.NO_SERVER
    for server in servers:
        try:
            with Admin(server) as admin:
                answers[server] = question(admin)
        except GeartrainError as error:
            complain(str(error))
            code = code_of(error)
        except ValueError as error:  # a name that is empty, or has blanks, which end names there
            fail(str(error), ExitCode.USAGE)
    if not answers:
        raise typer.Exit(code)
    return answers


def end_with(servers: list[str], answers: dict[str, T]) -> None:
    """End the command with the exit code for servers that did not answer, if there are any."""
    if len(answers) < len(set(servers)):
        raise typer.Exit(ExitCode.NO_SERVER)
