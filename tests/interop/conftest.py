"""Fixtures: the stage that a test process keeps, and the three of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Servers and workers, kept for all tests of this process."""
    stage = Stage(tmp_path_factory.mktemp("peers"))
    yield stage
    stage.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ExitStack]:
    """What a test starts and what ends with it."""
    with ExitStack() as stack:
        yield stack
