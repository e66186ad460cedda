"""Every cell of the matrix that is no gap.

With GEARTRAIN_TRY_GAPS=1 in the environment the gaps are tried, too, and the run fails if one of them works.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from . import results
from .capabilities import ROWS, Capability, Row, gap
from .checks import CHECKS
from .stage import Stage, Trio


def _cells() -> Sequence[object]:
    cells = []
    for row in ROWS:
        # The tests of a row's worker run in one process, which starts that worker once.
        group = pytest.mark.xdist_group(f"{row.server.value}+{row.worker.value}")
        for capability in Capability:
            marks = [group]
            if reason := gap(row, capability):
                if os.environ.get("GEARTRAIN_TRY_GAPS") != "1":
                    continue
                marks.append(pytest.mark.xfail(reason=reason.reason, strict=True))
            cell_id = f"{row.id}-{capability.name.lower()}"
            cells.append(pytest.param(row, capability, marks=marks, id=cell_id))
    return cells


@pytest.mark.parametrize(("row", "capability"), _cells())
def test_they_work_together(
    row: Row, capability: Capability, stage: Stage, running: ExitStack, tmp_path: Path
) -> None:
    results.forget(row, capability)
    begun = time.monotonic()
    CHECKS[capability](Trio(stage, row, tmp_path, running))
    results.keep(row, capability, time.monotonic() - begun)
