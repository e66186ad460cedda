"""What a command shows: a table on a terminal, tab-separated lines in a pipe, JSON when asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final

import typer

from ..errors import GeartrainError
from .exits import ExitCode, code_of, complain
from .times import read_interval

JsonOption = Annotated[bool, typer.Option("--json", help="Show it as JSON.")]
WatchOption = Annotated[
    float | None,
    typer.Option(
        "--watch",
        "-w",
        metavar="TIME",
        parser=read_interval,
        help="Show it again and again, until Ctrl-C: 2s, or 2.",
    ),
]

_ENDS: Final = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})
_CLEAR = "\x1b[H\x1b[2J"


NARROW: Final = 6
"""Characters that a column has at least beside one that is not folded."""


def on_terminal() -> bool:
    """Whether a person looks at what the command shows."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """Text from elsewhere as a terminal may be shown it: what could control the terminal is escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def in_a_row(text: str) -> str:
    """Text from elsewhere as a cell of a row in a pipe: what would end the cell or the row is escaped."""
    return text.translate(_ENDS)


def counted(number: int, one: str, more: str) -> str:
    """A number of things in words."""
    return f"{number:,} {one if number == 1 else more}"


def jobs(number: int) -> str:
    """A number of jobs in words."""
    return counted(number, "job", "jobs")


def show_json(value: object) -> None:
    """Show a value as one line of JSON."""
    typer.echo(json.dumps(value))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Show rows under their columns on a terminal, and alone, with tabs, in a pipe.

    Args:
        columns: their names; those that begin with `#` hold numbers.
        rows: what is in them.
        empty: the sentence for a person when there are no rows.
    """
    rows = list(rows)
    if not on_terminal():
        for row in rows:
            typer.echo("\t".join(in_a_row(str(cell)) for cell in row))
        return
    if not rows:
        typer.echo(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    cells = [[Text(printable(str(cell))) for cell in row] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        widest = max(row[place].cell_len for row in cells)
        table.add_column(
            column.removeprefix("#"),
            justify="right" if column.startswith("#") else "left",
            # Nothing is left out, and what people copy stays in one piece if the others have some room.
            overflow="fold",
            no_wrap=column == "Handle" and widest + NARROW * (len(columns) - 1) <= console.width,
        )
    for row in cells:
        table.add_row(*row)
    console.print(table)


def repeat(seconds: float | None, show: Callable[[], bool]) -> None:
    """Show something once, or at an interval until `show` returns false.

    With an interval a server that is away ends nothing: the command says that it waits, and goes on.
    """
    while True:
        if seconds is not None and on_terminal():
            typer.echo(_CLEAR, nl=False)
        try:
            if not show() or seconds is None:
                return
        except typer.Exit as end:
            if seconds is None or end.exit_code not in (ExitCode.NO_SERVER, ExitCode.TIMEOUT):
                raise
            complain(f"waiting for the job server; the next try is in {seconds:g} s")
        except GeartrainError as error:
            if seconds is None or code_of(error) not in (ExitCode.NO_SERVER, ExitCode.TIMEOUT):
                raise
            complain(f"{error}; waiting for the job server, the next try is in {seconds:g} s")
        sys.stdout.flush()
        time.sleep(seconds)
