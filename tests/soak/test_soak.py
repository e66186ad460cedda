"""Four seconds of the soak from a fixed seed; `make soak` runs ten minutes from a fresh one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .run import run


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.timeout(600)
def test_every_task_has_one_outcome_and_nothing_is_left(tmp_path: Path) -> None:
    account = run(tmp_path.resolve(), 4, seed=1)
    assert not account.wrong, account.report()
    assert account.outcomes["result"]
    assert account.acknowledged
