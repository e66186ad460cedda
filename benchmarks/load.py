"""One measurement of one job server that runs already.

    python -m benchmarks.load PORT --pid SERVER --clients 16 --workers 16 --window 16 --jobs 200000

Prints one JSON line: jobs a second, and in microseconds a job the CPU of the server (`--pid`, all its
threads) and of the generator itself, both from the operating system's accounting; the server's memory
before, meanwhile and after.

Modes:
    foreground  every client keeps `window` jobs outstanding; the workers answer each with one byte
    background  every client keeps `window` submissions unacknowledged; the workers drain meanwhile
    submit      background submissions only, no worker
    drain       background jobs are queued first; only the draining is measured
    latency     one client submits at `--rate` for `--seconds` whatever comes back (open loop)

What else the server holds meanwhile: `--sleepers` workers that sleep, `--functions` that somebody announced,
`--abilities` of each worker, `--queued` jobs that nobody takes, `--idle` connections.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from typing import Any, Final

from . import accounting
from .generator import (
    CAN_DO,
    PLAIN_GRAB,
    SUBMIT_JOB,
    SUBMIT_JOB_BG,
    Client,
    Load,
    Peer,
    Submitter,
    Worker,
    request,
)
from .rivals import RIVALS

AT_ONCE: Final = 500
"""Peers that are opened before the server gets time to accept them."""


class Gearman:
    """Clients and workers of one function; `rivals.py` has the same for other protocols."""

    def __init__(self, load: Load, options: argparse.Namespace) -> None:
        self.load = load
        self.options = options
        self.function = b"bench%d" % os.getpid()

    def client(self) -> Submitter:
        foreground = self.options.mode in ("foreground", "latency")
        return Client(self.load, self.submission(foreground), 13 if foreground else 8)

    def submission(self, foreground: bool = False) -> bytes:
        size: int = self.options.size
        body = self.function + b"\0\0" + b"x" * size
        return request(SUBMIT_JOB if foreground else SUBMIT_JOB_BG, body)

    def numbered(self) -> bytes:
        """A submission whose workload begins with a number of eight digits, to be filled in."""
        filled = self.function + b"\0\0%08d" + b"x" * max(0, self.options.size - 8)
        head = request(SUBMIT_JOB, filled % 0)[:12]
        return head.replace(b"%", b"%%") + filled

    def worker(self) -> Peer:
        worker = Worker(self.load, 8 if self.options.mode == "latency" else 0)
        others = [b"%b-%d" % (self.function, number) for number in range(self.options.abilities)]
        abilities = b"".join([request(CAN_DO, name) for name in [self.function, *others]])
        worker.send(abilities + self.load.grab)
        return worker

    def prepare(self) -> None:
        """Give the server what it is to hold meanwhile."""
        load, options = self.load, self.options
        for number in range(options.idle):
            Worker(load)
            if number % AT_ONCE == 0:
                load.settle()
        if options.functions:
            known = Worker(load)
            names = [b"%b=%d" % (self.function, number) for number in range(options.functions)]
            known.send(b"".join([request(CAN_DO, name) for name in names]))
        if options.queued:
            waits = request(SUBMIT_JOB_BG, self.function + b"-nobody\0\0" + b"x" * options.size)
            load.done, load.to_submit = 0, options.queued
            Client(load, waits, 8).begin(1000)
            load.until(options.queued, 0)
            load.done = 0
        for number in range(options.sleepers):
            self.worker()
            if number % AT_ONCE == 0:
                load.settle()
        load.settle()


def start_clients(load: Load, kind: Any, options: argparse.Namespace) -> None:
    load.to_submit = options.jobs
    for client in [kind.client() for _ in range(options.clients)]:
        client.begin(options.window)


def measure(load: Load, kind: Any, options: argparse.Namespace) -> None:
    """What is measured; everything that it needs is there."""
    mode = options.mode
    if mode == "latency":
        load.submit_at(kind.client(), kind.numbered(), options.rate, options.seconds)
        return
    if mode != "drain":
        start_clients(load, kind, options)
    if mode in ("foreground", "submit"):
        load.until(options.jobs, 0)
    else:
        load.until(0, options.jobs)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--protocol", choices=["gearman", *RIVALS], default="gearman")
    parser.add_argument(
        "--mode", choices=["foreground", "background", "submit", "drain", "latency"], default="foreground"
    )
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=20000)
    parser.add_argument("--size", type=int, default=100, help="bytes of a workload")
    parser.add_argument("--rate", type=float, default=1000.0, help="jobs a second, of mode latency")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long, of mode latency")
    parser.add_argument("--plain", action="store_true", help="GRAB_JOB, for servers without GRAB_JOB_UNIQ")
    for name in ("sleepers", "functions", "abilities", "queued", "idle"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--pid", type=int, default=0, help="the server's process")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    load = Load(options.host, options.port)
    if options.plain:
        load.grab = PLAIN_GRAB
    kind: Any = Gearman if options.protocol == "gearman" else RIVALS[options.protocol]
    kind = kind(load, options)
    kind.prepare()
    empty = accounting.rss(options.pid) if options.pid else 0
    if options.mode == "drain":
        start_clients(load, kind, options)
        load.until(options.jobs, 0)
    full = accounting.rss(options.pid) if options.pid else 0
    if options.mode not in ("submit", "drain"):
        for _ in range(options.workers):
            kind.worker()
        load.settle()
    cpu = accounting.cpu(options.pid) if options.pid else 0.0
    mine = time.process_time()
    start = time.perf_counter()
    if options.mode == "drain":
        for _ in range(options.workers):
            kind.worker()
    measure(load, kind, options)
    seconds = time.perf_counter() - start
    mine = time.process_time() - mine
    jobs = len(load.latencies) or options.jobs
    result: dict[str, float | int | str] = {
        "mode": options.mode,
        "jobs": jobs,
        "jobs_per_second": round(jobs / seconds),
        "generator_us": round(mine / jobs * 1e6, 3),
    }
    if options.pid:
        result["server_us"] = round((accounting.cpu(options.pid) - cpu) / jobs * 1e6, 3)
        result["rss_empty"] = empty
        result["rss_full"] = full
        if options.mode == "drain":
            time.sleep(1.0)  # what a server gives back, it may give back a moment later
        result["rss_after"] = accounting.rss(options.pid)
    if load.latencies:
        ordered = sorted(load.latencies)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)):
            result[f"{name}_ms"] = round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3, 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
