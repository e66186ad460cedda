"""The help teaches, and commands start fast."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
from typer.testing import CliRunner

from geartrain.cli import app
from geartrain.cli.exits import ExitCode

from .command import run

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = ("README.md", "docs/command-line.md", "docs/durability.md", "examples/README.md")
COMMANDS: Final[dict[str, Any]] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def names() -> list[str]:
    """The commands; what `gearmand` takes is gearmand's, and so is its help."""
    return sorted(set(COMMANDS) - {"gearmand"})


@pytest.mark.parametrize("name", names())
def test_each_command_explains_itself_with_examples(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert re.search(rf"^ *geartrain {name}\b", shown.output.partition("Examples")[2], re.MULTILINE)


def promised() -> list[tuple[str, str]]:
    """Every geartrain command that the documents and the help's examples show, and where."""
    texts = {name: path.read_text() for name in DOCUMENTS for path in [ROOT / name]}
    texts |= {f"{name} --help": command.epilog or "" for name, command in COMMANDS.items()}
    return [
        (where, line)
        for where, text in texts.items()
        for line in re.findall(r"(?:^|[$`|] ?|until )(geartrain [a-z][^`\n]*)", text, re.MULTILINE)
    ]


def test_what_the_documents_show_can_be_typed() -> None:
    lines = promised()
    assert {where for where, _ in lines} > set(DOCUMENTS)
    for where, line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>&;")
        lexer.whitespace_split = True
        _, name, *words = itertools.takewhile(lambda word: not set(word) <= set("|<>&;"), lexer)
        if name == "gearmand":
            continue
        assert name in COMMANDS, (where, line)
        command = COMMANDS[name]
        while words and words[0] in (below := getattr(command, "commands", {})):
            command = below[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if re.match(r"--?[a-zA-Z]", word)} <= options | {"--help"}, (
            where,
            line,
        )


def test_the_documented_exit_codes_are_those_there_are() -> None:
    text = (ROOT / "docs/command-line.md").read_text()
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == list(ExitCode)


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
        ("import geartrain.cli", {"asyncio", "logging", "structlog", "rich", "geartrain.client", *SERVER}),
    ],
)
def test_importing_loads_no_more_than_is_needed(code: str, unwanted: set[str]) -> None:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())
