"""The pytest plugin: fixtures for tests that need a job server, or the memory of what was submitted.

It loads nothing of Geartrain before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from geartrain.testing import EagerClient, LocalServer


@pytest.fixture
def gearman_server() -> Iterator[LocalServer]:
    """A job server of its own for each test: in this process, in memory, on a free port (`.address`)."""
    from geartrain.testing import LocalServer

    with LocalServer() as server:
        yield server


@pytest.fixture
def gearman_recorder() -> Iterator[EagerClient]:
    """A client without a server: `.jobs` are those that were submitted, `.answer(…)` sets their results."""
    from geartrain.testing import EagerClient

    with EagerClient() as client:
        yield client
