"""A hundred thousand hostile inputs from a fixed seed; `make fuzz` sends a million from a fresh one."""

from __future__ import annotations

from tests.harness.servers import geartrain

from .alone import Alone
from .sockets import OPTIONS, Sockets

SEED = 1


def test_no_input_shakes_the_parser_and_the_broker() -> None:
    alone = Alone(SEED)
    alone.run(80_000)
    alone.finish()


def test_no_input_shakes_the_server() -> None:
    with geartrain(*OPTIONS) as server:
        sockets = Sockets(server, SEED)
        sockets.run(20_000)
        print(sockets.finish())
