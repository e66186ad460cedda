"""The promise under SIGKILL."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cycles import run

CYCLES_HERE = 25
"""Twice this in a test run; `make crash` does 200."""


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path, seed: int) -> None:
    account = run(tmp_path / "journal.db", CYCLES_HERE, seed)
    print(account.report())
    assert account.acknowledged
    assert account.lost == set()
    assert account.invented == set()
    assert account.unexcused == set()
