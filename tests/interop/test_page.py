"""The page about interoperability holds the matrix."""

from __future__ import annotations

from . import matrix
from .capabilities import GAPS, LIMITS, ROWS, Capability, gap, limit
from .checks import CHECKS


def test_the_page_holds_the_table_that_the_matrix_renders_to() -> None:
    assert matrix.committed() == matrix.render(), (
        "run pytest tests/interop and python -m tests.interop.matrix"
    )


def test_every_capability_has_a_check() -> None:
    assert set(CHECKS) == set(Capability)


def test_every_remark_is_about_a_cell_and_none_hides_another() -> None:
    cells = [(row, capability) for row in ROWS for capability in Capability]
    assert {gap(*cell) for cell in cells} - {None} == set(GAPS)
    assert {limit(*cell) for cell in cells} - {None} == set(LIMITS)
