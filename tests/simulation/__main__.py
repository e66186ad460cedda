"""`make simulate SEED=7 STEPS=1000000`: one run, any length, and its seed printed."""

from __future__ import annotations

import argparse
import time

import geartrain.broker.broker as compiled_or_not

from .invariants import Violation
from .world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    form = "as Python" if str(compiled_or_not.__file__).endswith(".py") else "compiled"
    print(f"seed {options.seed}, {options.steps} steps, the broker {form}", flush=True)
    world = World(options.seed)
    try:
        world.run(options.steps)
    except Violation as violation:
        print(f"step {world.steps}: {violation}")
        print(f"again: make simulate SEED={options.seed} STEPS={world.steps}")
        return 1
    counts = ", ".join(f"{count} {what}" for what, count in sorted(world.counts.items()))
    print(f"{world.steps} steps, every invariant held ({counts})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
