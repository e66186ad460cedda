"""`make soak`: ten minutes, and the account printed."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from .run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} seconds", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        account = run(Path(folder).resolve(), options.seconds, options.seed)
    print(account.report())
    return 1 if account.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
