"""The console blocks of a README: what is typed, and what comes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.harness.processes import Process

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "examples" / "README.md"
TIMEOUT: Final = 30.0


class Step(NamedTuple):
    """One line after a `$`: a command, and the output that is printed under it."""

    command: str
    output: str

    @property
    def in_background(self) -> bool:
        return self.command.endswith(" &")


def steps(section: str) -> list[Step]:
    """The commands of a section of the examples' README, in order."""
    _, _, rest = README.read_text().partition(f"\n## {section}\n")
    text = rest.partition("\n## ")[0]
    found: list[Step] = []
    for block in text.split("```console\n")[1:]:
        for part in f"\n{block.partition('```')[0]}".split("\n$ ")[1:]:
            command, _, output = part.partition("\n")
            found.append(Step(command, output.rstrip("\n") + "\n" if output.strip() else ""))
    assert found, f"{README} has no section {section} with commands"
    return found


def sections() -> list[str]:
    """The examples that the README explains."""
    return [line.removeprefix("## ") for line in README.read_text().splitlines() if line.startswith("## ")]


class Stage:
    """Runs the README's commands in a folder of its own, against a job server of its own."""

    def __init__(self, folder: Path, servers: str, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        # As the README has it: .venv/bin in front, and examples/ below.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment: Mapping[str, str] = {"GEARMAN_SERVERS": servers, "PATH": path}
        (folder / "examples").symlink_to(ROOT / "examples")

    def start(self, command: str) -> Process:
        """Run a command in the background, until the end of the test."""
        command = command.removesuffix(" &")
        return self._stack.enter_context(
            Process("sh", "-c", f"exec {command}", env=self._environment, cwd=self.folder)
        )

    def run(self, command: str) -> str:
        """Run a command that succeeds; returns what it printed."""
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env={**os.environ, **self._environment},
            cwd=self.folder,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def follow(self, steps: list[Step]) -> Iterator[tuple[Step, str]]:
        """Run each step; yields what those in the foreground printed."""
        for step in steps:
            if step.in_background:
                self.start(step.command)
            else:
                yield step, self.run(step.command)


@contextmanager
def stage(folder: Path, servers: str) -> Iterator[Stage]:
    """A stage whose processes end with the block."""
    with ExitStack() as stack:
        yield Stage(folder, servers, stack)
