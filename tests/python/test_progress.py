"""The progress bar, as people see it: programs with their standard error on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
from geartrain import Client, TaskSet
from tests.python import tasks

with Client(sys.argv[1], timeout=20) as client:
    {}
print("the end")
"""


def seen(server: str, body: str) -> tuple[str, str]:
    """What a program writes to its standard output, and what a terminal shows of its standard error."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body), server],
        stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment, cwd=ROOT,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        # Reading a terminal that nobody has open any more is an error.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 4096):
                shown += data
        os.close(ours)
        assert process.stdout is not None
        written = process.stdout.read()
        assert process.wait(30) == 0, shown.decode()
    return written, shown.decode()


@pytest.mark.parametrize(
    ("body", "name", "ratio"),
    [
        ("list(client.map(tasks.square, range(50), progress=True))", "square", "50/50"),
        ("list(client.map(tasks.add, range(50), range(60), progress=True))", "add", "50/50"),
        ("list(client.map(tasks.square, iter(range(50)), progress=True))", "square", "50/50"),
        ("list(client.function(tasks.pause).options(progress=True).map([0.1] * 6))", "pause", "6/6"),
        ("client.function(tasks.steps).options(progress=True).submit(7).result()", "steps", "7/7"),
        ("client.function(tasks.steps).options(progress=True)(7)", "steps", "7/7"),
        ("client.submit('upper', b'x', progress=True).result()", "upper", "1/1"),
        (
            "s = TaskSet(client); [s.add(client.function(tasks.square).task(n)) for n in range(9)]; "
            "s.wait(progress=True)",
            "tasks",
            "9/9",
        ),
    ],
)
def test_a_bar_shows_how_far_it_is(server: str, body: str, name: str, ratio: str) -> None:
    written, shown = seen(server, body)
    assert written == "the end\n"
    drawings = [line for line in shown.replace("\r", "\n").splitlines() if "━" in line]
    assert name in drawings[-1]
    assert ratio in drawings[-1]
    # As long as nobody knows how many there are, it says so.
    assert all(ratio.partition("/")[2] in line or "/?" in line for line in drawings)


def test_no_bar_goes_into_a_file(server: str) -> None:
    body = "list(client.map(tasks.square, range(50), progress=True))"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body), server],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("the end\n", "")
