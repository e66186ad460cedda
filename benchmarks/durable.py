"""What durability costs: acknowledged background jobs a second, and a restart with a million of them.

    python -m benchmarks.durable rate --rounds 5
    python -m benchmarks.durable restart --jobs 1000000

`rate`: four clients keep 64 submissions of 100 bytes unacknowledged, each with a unique of its own, against
our server with its SQLite journal and with its memory journal, and gearmand with its SQLite queue. The rounds
are interleaved, and the medians count.

`restart`: both servers find the same queue of jobs of 100 bytes with uniques, and the clock runs from their
start to their first answer; the peak of their memory is the system's account of it.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from geartrain.broker.records import QUEUED, JobRecord
from geartrain.journal.gearmand import read_file
from geartrain.journal.offline import take_over

from . import accounting
from .generator import SUBMIT_JOB_BG, request

GEARMAND: Final = "/usr/sbin/gearmand"
CLIENTS: Final = 4
WINDOW: Final = 64
SIZE: Final = 100
"""Bytes of a workload."""
PATIENCE: Final = 900.0
"""Seconds that a server may take to start."""

_uniques = count()


class Client:
    """One connection with all its submissions ready, so that measuring costs little.

    It leaves the processors to the servers: acknowledgements are counted, not taken apart.
    """

    def __init__(self, port: int, jobs: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b"bench\0bench-%09d\0" + b"x" * SIZE
        packets = [request(SUBMIT_JOB_BG, body % next(_uniques)) for _ in range(jobs)]
        self.size = len(packets[0])
        self.packets = memoryview(b"".join(packets))
        self.jobs = jobs
        self.sent = self.answered = 0
        self.rest = b""

    def send(self, most: int) -> None:
        start = self.sent
        self.sent = min(start + most, self.jobs)
        if self.sent > start:
            self.socket.sendall(self.packets[start * self.size : self.sent * self.size])

    def receive(self) -> None:
        data = self.rest + self.socket.recv(1 << 16)
        # Handles of one run are equally long, and so are the acknowledgements.
        size = 12 + int.from_bytes(data[8:12], "big")
        answers = len(data) // size
        end = answers * size
        if data.count(b"\0RES\0\0\0\x08" + data[8:12], 0, end) != answers:
            raise RuntimeError(f"not acknowledged: {data!r}")
        self.rest = data[end:]
        self.answered += answers
        self.send(answers)


def submit(port: int, jobs: int) -> float:
    """Acknowledged submissions a second."""
    clients = {client.socket: client for client in [Client(port, jobs // CLIENTS) for _ in range(CLIENTS)]}
    start = time.perf_counter()
    for client in clients.values():
        client.send(WINDOW)
    left = set(clients)
    while left:
        for ready in select.select(list(left), [], [], 60)[0]:
            clients[ready].receive()
            if clients[ready].answered == clients[ready].jobs:
                left.remove(ready)
    seconds = time.perf_counter() - start
    for client in clients.values():
        client.socket.close()
    return jobs // CLIENTS * CLIENTS / seconds


def ours(journal: str) -> list[str]:
    """The command of our server."""
    return [sys.executable, "-m", "geartrain", "serve", "--journal", journal]


def gearmand(queue: str) -> list[str]:
    """The command of gearmand with its SQLite queue."""
    return [
        GEARMAND,
        "--listen=127.0.0.1",
        "--log-file=stderr",
        "-q",
        "libsqlite3",
        f"--libsqlite3-db={queue}",
    ]


@contextmanager
def running(command: list[str]) -> Iterator[tuple[int, subprocess.Popen[bytes], float]]:
    """A server that answers: its port, its process, and how many seconds it took until it did."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    start = time.perf_counter()
    with subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            while not _answers(port):
                if process.poll() is not None or time.perf_counter() - start > PATIENCE:
                    raise RuntimeError(f"{command[0]} did not start")
                time.sleep(0.01)
            yield port, process, time.perf_counter() - start
        finally:
            process.kill()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as peer:
            peer.settimeout(PATIENCE)
            peer.sendall(b"status\n")
            return bool(peer.recv(1))
    except OSError:
        return False


def _peak(pid: int) -> int:
    """The most bytes of memory that a process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def rate(folder: Path, rounds: int, jobs: int) -> dict[str, Any]:
    """The rates of all three, and how they compare."""
    rates: dict[str, list[float]] = {"sqlite": [], "memory": [], "gearmand": []}
    cpu: dict[str, list[float]] = {"sqlite": [], "memory": [], "gearmand": []}
    for number in range(rounds):
        for name, command, share in (
            ("gearmand", gearmand(str(folder / f"gearmand-{number}.db")), 20),
            ("sqlite", ours(f"sqlite:{folder}/ours-{number}.db"), 1),
            ("memory", ours("memory"), 1),
        ):
            with running(command) as (port, process, _):
                before = accounting.cpu(process.pid)
                rates[name].append(submit(port, jobs // share))
                cpu[name].append((accounting.cpu(process.pid) - before) / (jobs // share) * 1e6)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "submissions_per_second": {name: round(value) for name, value in medians.items()},
        "server_cpu_us": {name: round(statistics.median(values), 2) for name, values in cpu.items()},
        "each_round": {name: [round(value) for value in values] for name, values in rates.items()},
        "times_gearmand": round(medians["sqlite"] / medians["gearmand"], 1),
        "of_memory": round(medians["sqlite"] / medians["memory"], 2),
    }


def restart(folder: Path, jobs: int) -> dict[str, Any]:
    """How long both take to come up with as many jobs, and the most memory that they need."""
    queue = folder / "gearmand.db"
    with sqlite3.connect(queue) as connection:
        connection.execute(
            "CREATE TABLE gearman_queue ( unique_key TEXT, function_name TEXT, priority INTEGER, data BLOB, "
            "when_to_run INTEGER, PRIMARY KEY (unique_key, function_name))"
        )
        connection.executemany(
            "INSERT INTO gearman_queue VALUES (?, 'bench', 1, ?, 0)",
            ((f"bench-{number:09d}", b"x" * SIZE) for number in range(jobs)),
        )
    connection.close()
    now = time.time()
    first = int(now * 1_000_000)
    journal = folder / "ours.db"
    take_over(
        str(journal),
        (
            JobRecord(first + number, job.function, job.unique, job.workload, 1, 0.0, b"", QUEUED, b"", now)
            for number, job in enumerate(read_file(str(queue)))
        ),
    )
    found: dict[str, Any] = {"jobs": jobs}
    for name, command in (("ours", ours(f"sqlite:{journal}")), ("gearmand", gearmand(str(queue)))):
        with running(command) as (_, process, seconds):
            found[name] = {"seconds": round(seconds, 2), "peak_mb": round(_peak(process.pid) / 1e6)}
    found["gearmand_seconds_over_ours"] = round(found["gearmand"]["seconds"] / found["ours"]["seconds"], 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.durable", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=["rate", "restart"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=0, help="each round; 200,000, or a million for a restart")
    parser.add_argument("--folder", default=".", help="on the disk that is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-durable-") as folder:
        if options.mode == "rate":
            found = rate(Path(folder), options.rounds, options.jobs or 200_000)
        else:
            found = restart(Path(folder), options.jobs or 1_000_000)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
