"""The help teaches, and commands start fast."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from geartrain.cli import app

from .command import run

COMMANDS = typer.main.get_command(app)


def names() -> list[str]:
    return sorted(COMMANDS.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", names())
def test_each_command_explains_itself_with_examples(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert re.search(rf"^ *geartrain {name}\b", shown.output.partition("Examples")[2], re.MULTILINE)


def test_the_first_help_lists_the_commands_and_the_exit_codes() -> None:
    done = run("--help")
    assert done.code == 0
    for name in names():
        assert re.search(rf"│ {name} ", done.out)
    assert "Exit codes: 0 done" in done.out


def test_an_unknown_command_is_exit_code_2() -> None:
    done = run("sevre")
    assert done.code == 2
    assert "serve" in done.err


SERVER = {"geartrain.server", "geartrain.broker", "geartrain.journal"}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (
            "import geartrain",
            {"asyncio", "typer", "structlog", "geartrain.client", "geartrain.worker", *SERVER},
        ),
        ("from geartrain import Client", {"typer", "structlog", "geartrain.worker", *SERVER}),
        ("from geartrain import Worker", {"typer", "geartrain.client", *SERVER}),
        ("import geartrain.cli", {"asyncio", "structlog", "rich", "geartrain.client", *SERVER}),
    ],
)
def test_importing_loads_no_more_than_is_needed(code: str, unwanted: set[str]) -> None:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())
