"""`make crash`: many cycles, and the account printed."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from .cycles import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        account = run(Path(folder) / "journal.db", options.cycles, options.seed)
    print(account.report())
    return 1 if account.lost or account.invented or account.unexcused else 0


if __name__ == "__main__":
    raise SystemExit(main())
