"""A few seconds of the soak, so that it is known to work; `make soak` is the real thing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .run import run


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.timeout(600)
def test_every_task_has_one_outcome_and_nothing_is_left(tmp_path: Path) -> None:
    seed = time.time_ns() % 1_000_000
    account = run(tmp_path.resolve(), 4, seed)
    assert not account.wrong, f"seed {seed}\n{account.report()}"
    assert account.outcomes["result"]
    assert account.acknowledged
