"""mypy and basedpyright (a pyright) know a typed function's parameters and result, and nothing is `Any`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

GOOD, BAD = HERE / "good.py", HERE / "bad.py"


class Found:
    """What a checker says of a file, by line."""

    def __init__(self) -> None:
        self.revealed: dict[int, list[str]] = {}
        self.errors: dict[int, list[str]] = {}


def mypy(scratch: Path) -> dict[str, Found]:
    found = {GOOD.name: Found(), BAD.name: Found()}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(scratch), "--no-pretty", str(GOOD), str(BAD)],
        capture_output=True, text=True, timeout=110, cwd=ROOT,
    )  # fmt: skip
    for file, line, kind, text in re.findall(r"^(\S+):(\d+): (note|error): (.*)$", done.stdout, re.MULTILINE):
        here = found[Path(file).name]
        if text.startswith("Revealed type is"):
            here.revealed.setdefault(int(line), []).append(plain(text.split('"')[1]))
        elif kind == "error":
            here.errors.setdefault(int(line), []).append(text)
    return found


def pyright(scratch: Path) -> dict[str, Found]:
    found = {GOOD.name: Found(), BAD.name: Found()}
    settings = scratch / "pyrightconfig.json"
    wanted = {
        "typeCheckingMode": "standard",
        "include": [str(GOOD), str(BAD)],
        "extraPaths": [str(ROOT / "src")],
    }
    settings.write_text(json.dumps(wanted))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--project", str(settings), "--outputjson"],
        capture_output=True, text=True, timeout=110, cwd=ROOT,
    )  # fmt: skip
    for item in json.loads(done.stdout)["generalDiagnostics"]:
        here, line, text = found[Path(item["file"]).name], item["range"]["start"]["line"] + 1, item["message"]
        if text.startswith("Type of"):
            here.revealed.setdefault(line, []).append(plain(text.rsplit(' is "', 1)[1].rstrip('"')))
        elif item["severity"] == "error":
            here.errors.setdefault(line, []).append(text)
    return found


def plain(type: str) -> str:
    """A type without what checkers write differently: modules, and how parameters are listed."""
    type = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", type)
    type = type.replace("[a: int, b: int =]", "(a: int, b: int =)")
    return re.sub(r" =[^,)]*", " = ...", type)


def lines(file: Path) -> list[tuple[int, str]]:
    return list(enumerate(file.read_text().splitlines(), 1))


@pytest.mark.parametrize("check", [mypy, pyright])
def test_types_are_known_and_mistakes_are_found(
    check: Callable[[Path], dict[str, Found]], tmp_path: Path
) -> None:
    found = check(tmp_path)
    assert found[GOOD.name].errors == {}
    assert found[GOOD.name].revealed == {
        n: [line.rsplit("# ", 1)[1]] for n, line in lines(GOOD) if "reveal_type(" in line
    }
    assert set(found[BAD.name].errors) == {n for n, line in lines(BAD) if line.endswith("# wrong")}
