"""Counts the instructions of the compiled hot path and compares them with the committed figures.

    make guard            fails if a job costs clearly more instructions than `guard.json` says
    make guard COMMIT=1   writes the figures anew, after a change that is meant

callgrind counts the same in every run on every machine with the same Python, C library and compiler, so no
quiet machine is needed. What is counted is `core.py`: from a chunk's bytes to the writes, without sockets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import Final

from .servers import PYTHON, ROOT

JOBS: Final = 2_000
SLACK: Final = 0.1
"""How much more than committed is taken for a difference of compilers."""
MODES: Final = ("submit", "drain", "many", "pingpong")
COUNTED: Final = "CPyPy_server___connection___Connection___data_received"
"""Instructions are counted inside this function of the compiled connection."""
FILE: Final = ROOT / "benchmarks/guard.json"


def count(mode: str) -> float:
    """Instructions a job."""
    done = subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            f"--toggle-collect={COUNTED}",
            *(PYTHON, "-P", "-m", "benchmarks.core", mode, str(JOBS)),
        ],
        # A fixed seed and no bytecode written, so that each run is the same.
        env=os.environ
        | {
            "PYTHONPATH": f"{ROOT}/build/compiled:{ROOT}/build/bench",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None or found.group(1) == "0":
        raise SystemExit(f"callgrind did not count {mode}:\n{done.stderr[-2000:]}")
    return int(found.group(1)) / JOBS


def main() -> None:
    if shutil.which("valgrind") is None:
        raise SystemExit("make guard needs valgrind: apt-get install valgrind")
    counts = {mode: round(count(mode)) for mode in MODES}
    if "--commit" in sys.argv:
        FILE.write_text(json.dumps(counts, indent=1) + "\n")
    committed: dict[str, int] = json.loads(FILE.read_text())
    worse = False
    for mode, found in counts.items():
        change = found / committed[mode] - 1
        print(f"{mode}: {found} instructions a job, {change:+.1%} of the committed {committed[mode]}")
        worse = worse or change > SLACK
    if worse:
        raise SystemExit(
            f"a job costs over {SLACK:.0%} more than committed: mend it, or `make guard COMMIT=1`"
        )


if __name__ == "__main__":
    main()
