"""Every piece of Python in the docs runs and prints what it says, and every public name is in one."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import geartrain
import geartrain.codecs
import geartrain.testing
from geartrain.testing import LocalServer

ROOT = Path(__file__).parent.parent
PRINTED = "127.0.0.1:4730"
"""The address in the docs; the tests' server is elsewhere, since somebody may listen there."""

PAGES = [ROOT / "docs" / "moving-from-celery.md", ROOT / "docs" / "python.md"]


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def file_name(block: str) -> str | None:
    """The name of a block that is a file: its first line is a comment with it."""
    match = re.match(r"# (\w+\.py)\n", block)
    return match and match[1]


def expected(block: str) -> list[str]:
    """What the `print`s of a block are said to print."""
    lines = [line.partition("  # ") for line in block.splitlines() if "print(" in line]
    return [text for _, _, text in lines if text]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run(text: str, project: Path, server: LocalServer) -> None:
    """Run a page's blocks: files are written, the worker in them works, the others run in their order."""
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(text):
        code = block.replace(PRINTED, server.address)
        name = file_name(block)
        if name is not None:
            (project / name).write_text(code)
            if not name.startswith("test_"):
                server.work(__import__(name.removesuffix(".py")).worker)
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, "page", "exec"), names)
        assert output.getvalue().splitlines() == expected(block), block


def test_the_python_page_runs(project: Path, gearman_server: LocalServer) -> None:
    run((ROOT / "docs" / "python.md").read_text(), project, gearman_server)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_tasks.py"],
        capture_output=True, text=True, cwd=project, timeout=60,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout


def test_the_page_for_celery_users_runs(project: Path, gearman_server: LocalServer) -> None:
    text = (ROOT / "docs" / "moving-from-celery.md").read_text()
    assert len(blocks(text)) == 2
    run(text, project, gearman_server)


def names_in(code: str) -> set[str]:
    """The names that a piece of code mentions other than by importing them."""
    tree = ast.walk(ast.parse(code))
    return {node.id for node in tree if isinstance(node, ast.Name)}


@pytest.mark.parametrize("module", [geartrain, geartrain.codecs, geartrain.testing])
def test_every_public_name_has_an_example_that_runs(module: object) -> None:
    used = {name for page in PAGES for block in blocks(page.read_text()) for name in names_in(block)}
    assert set(module.__all__) - used == set()  # type: ignore[attr-defined]
