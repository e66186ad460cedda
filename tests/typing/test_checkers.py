"""mypy and basedpyright (a pyright) know a typed function's parameters and result, and nothing is `Any`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

Findings = dict[int, list[str]]


def mypy(file: Path, cache: Path) -> tuple[Findings, Findings]:
    """What is revealed and what is wrong, by line."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--no-pretty", str(file)],
        capture_output=True, text=True, timeout=110, cwd=ROOT,
    )  # fmt: skip
    revealed: Findings = {}
    errors: Findings = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(\S+):(\d+): (note|error): (.*)", line)
        if match is None or not match[1].endswith(file.name):
            continue
        if match[4].startswith("Revealed type is"):
            revealed.setdefault(int(match[2]), []).append(match[4].split('"')[1])
        elif match[3] == "error":
            errors.setdefault(int(match[2]), []).append(match[4])
    return revealed, errors


def pyright(file: Path, cache: Path) -> tuple[Findings, Findings]:
    """What is revealed and what is wrong, by line."""
    settings = cache / "pyrightconfig.json"
    wanted = {"typeCheckingMode": "standard", "include": [str(file)], "extraPaths": [str(ROOT / "src")]}
    settings.write_text(json.dumps(wanted))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--project", str(settings), "--outputjson"],
        capture_output=True, text=True, timeout=110, cwd=ROOT,
    )  # fmt: skip
    revealed: Findings = {}
    errors: Findings = {}
    for found in json.loads(done.stdout)["generalDiagnostics"]:
        line = found["range"]["start"]["line"] + 1
        if found["message"].startswith("Type of"):
            revealed.setdefault(line, []).append(found["message"].rsplit(' is "', 1)[1].rstrip('"'))
        elif found["severity"] == "error":
            errors.setdefault(line, []).append(found["message"])
    return revealed, errors


def plain(type: str) -> str:
    """A type without what checkers write differently: modules, and how parameters are listed."""
    type = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", type)
    type = type.replace("[a: int, b: int =]", "(a: int, b: int =)")
    return re.sub(r" =[^,)]*", " = ...", type)


def expected(file: Path) -> Findings:
    lines = enumerate(file.read_text().splitlines(), 1)
    return {n: [line.rsplit("# ", 1)[1]] for n, line in lines if "reveal_type(" in line}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_the_types_are_known(check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = HERE / "good.py"
    revealed, errors = check(file, tmp_path)
    assert errors == {}
    assert {line: [plain(type) for type in types] for line, types in revealed.items()} == expected(file)


@pytest.mark.parametrize("check", [mypy, pyright])
def test_mistakes_are_found(check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = HERE / "bad.py"
    _, errors = check(file, tmp_path)
    wrong = {n for n, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# wrong")}
    assert set(errors) == wrong, errors
