"""`make fuzz`: a million hostile inputs, or as many as `--inputs` says; the seed replays a run."""

from __future__ import annotations

import argparse
import secrets
import time

from tests.harness.servers import geartrain

from .alone import Alone
from .sockets import OPTIONS, Sockets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    at_sockets = options.inputs // 5
    began = time.monotonic()
    alone = Alone(options.seed)
    alone.run(options.inputs - at_sockets)
    alone.finish()
    print(
        f"parser and broker: {options.inputs - at_sockets:,} inputs, {alone.refused:,} peers refused, "
        f"{alone.answered:,} answers, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    began = time.monotonic()
    with geartrain(*OPTIONS) as server:
        sockets = Sockets(server, options.seed)
        sockets.run(at_sockets)
        print(f"sockets: {at_sockets:,} inputs, {sockets.finish()}, {time.monotonic() - began:.0f} s")
    print("0 tracebacks, 0 connections left")


if __name__ == "__main__":
    main()
