"""A hundred thousand hostile inputs; `make fuzz` takes a million. The seed is printed and replays a run."""

from __future__ import annotations

import secrets

import pytest

from tests.harness.servers import geartrain

from .alone import Alone
from .sockets import OPTIONS, Sockets


@pytest.fixture
def seed() -> int:
    """Another one each time."""
    seed = secrets.randbelow(1 << 32)
    print(f"seed {seed}: python -m tests.fuzz --seed {seed}")
    return seed


def test_no_input_shakes_the_parser_and_the_broker(seed: int) -> None:
    alone = Alone(seed)
    alone.run(80_000)
    alone.finish()


def test_no_input_shakes_the_server(seed: int) -> None:
    with geartrain(*OPTIONS) as server:
        sockets = Sockets(server, seed)
        sockets.run(20_000)
        print(sockets.finish())
