"""What a test run found out: a small file for each cell, whichever process ran its test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from .capabilities import Capability, Row
from .cast import BUILD

FOLDER: Final = BUILD / "results"


def forget(row: Row, capability: Capability) -> None:
    """A test begins: what an earlier run found out no longer counts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _file(row, capability).unlink(missing_ok=True)


def keep(row: Row, capability: Capability, seconds: float) -> None:
    """A test has passed."""
    _file(row, capability).write_text(json.dumps({"works": True, "seconds": round(seconds, 3)}) + "\n")


def works(row: Row, capability: Capability) -> bool:
    """Whether the last run of that cell's test has passed."""
    file = _file(row, capability)
    return file.exists() and json.loads(file.read_text())["works"] is True


def _file(row: Row, capability: Capability) -> Path:
    return FOLDER / f"{row.id}+{capability.name.lower()}.json"
