"""A million items through `Client.map` with a window: what it takes, and the memory of the client at most.

    python -m benchmarks.million [--items 1000000] [--window 1000] [--unordered]

Starts a job server and a worker of its own, each a process. The client is this process; what it had in memory
before, the interpreter and the library, counts as well.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

from geartrain import Client

MIB = 1024
LIMIT = 100
"""Mebibytes that the client may have at most."""

WORKER = """
import sys
from geartrain import Worker

worker = Worker(sys.argv[1])

@worker.function
def square(n: int) -> int:
    return n * n

worker.run()
"""


def square(n: int) -> int:
    """The worker has it."""
    raise NotImplementedError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--window", type=int, default=1_000)
    parser.add_argument("--unordered", action="store_true")
    options = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-m", "geartrain", "serve", "--listen", "127.0.0.1:0", "--journal", "memory"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with server:
        try:
            address = first_address(server)
            with subprocess.Popen(
                [sys.executable, "-c", WORKER, address], stdout=subprocess.DEVNULL
            ) as worker:
                try:
                    sys.exit(measure(address, options.items, options.window, not options.unordered))
                finally:
                    worker.terminate()
        finally:
            server.terminate()


def first_address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"127\.0\.0\.1:\d+", line):
            return found[0]
    raise SystemExit("the job server did not say where it listens")


def measure(address: str, items: int, window: int, ordered: bool) -> int:
    def numbers() -> Iterator[int]:
        yield from range(items)

    before = time.process_time()
    total = 0
    with Client(address) as client:
        for result in client.map(square, numbers(), ordered=ordered, window=window):
            total += result
    assert total == sum(n * n for n in range(items)), "a result is missing or wrong"
    used = time.process_time() - before
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    print(f"{items} items, window {window}: {used / items * 1e6:.1f} µs of CPU each, {most:.0f} MiB at most")
    return int(most >= LIMIT)


if __name__ == "__main__":
    main()
