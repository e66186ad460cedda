"""Runs the benchmarks and writes `docs/benchmarks/`.

    make bench         a short round, in under five minutes, to build/bench-short
    make bench-full    all of it, to docs/benchmarks
    .venv-bench/bin/python -m benchmarks --only core --rounds 3 --to build/bench-short

Runs are interleaved: each round starts every server anew, measures it once and stops it, and the next round
begins with another one. What is written are medians, with the least and the most.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import endtoend, report
from .scenarios import FULL, SHORT, Scenario
from .servers import PYTHON, ROOT, SERVERS, running

RUN_PATIENCE = 900
"""Seconds that one run may take."""


def measure(scenario: Scenario, name: str, scale: float) -> dict[str, float]:
    """One run of one scenario against one server."""
    jobs = scenario.fewer.get(name, scenario.jobs)
    options = {"jobs": max(20, int(jobs * scale)), **scenario.options}
    arguments = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    if name == "Gearman::Server":
        arguments.append("--plain")
    with running(name, scenario.env) as server:
        done = subprocess.run(
            [
                *(PYTHON, "-P", "-m", "benchmarks.load", str(server.port), "--pid", str(server.pid)),
                *("--protocol", server.server.protocol, *arguments),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT / "build/bench")},
            capture_output=True,
            text=True,
            timeout=RUN_PATIENCE,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    result: dict[str, float] = json.loads(done.stdout)
    return result


def summary(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure."""
    figures: dict[str, dict[str, float]] = {}
    for key in runs[0]:
        values = [run[key] for run in runs if isinstance(run.get(key), int | float)]
        if values:
            figures[key] = endtoend.spread(values)
    return figures


def run_all(scenarios: list[Scenario], rounds: int, scale: float) -> list[dict[str, Any]]:
    """Every scenario against each of its servers, interleaved."""
    results: list[dict[str, Any]] = []
    for scenario in scenarios:
        servers = [name for name in scenario.servers if SERVERS[name].is_there]
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        failures: dict[str, str] = {}
        for number in range(rounds):
            first = number % len(servers)
            for name in servers[first:] + servers[:first]:
                try:
                    runs[name].append(measure(scenario, name, scale))
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    failures[name] = str(error)
        found = {name: summary(done) for name, done in runs.items() if done}
        results.append(
            {
                "group": scenario.group,
                "name": scenario.name,
                "x": scenario.x,
                "options": scenario.options,
                "jobs": {name: int(done["jobs"]["median"]) for name, done in found.items()},
                "rounds": rounds,
                "servers": found,
                "failures": failures,
            }
        )
        costs = [f"{name} {done['server_us']['median']:.2f}" for name, done in found.items()]
        print(f"{scenario.key}: {', '.join(costs)} µs {failures or ''}", file=sys.stderr, flush=True)
    return results


def machine() -> dict[str, str]:
    """Where this runs."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"Linux {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "congestion control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="the short round")
    parser.add_argument("--only", action="append", default=[], help="groups of scenarios, or `end to end`")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="how many of the jobs")
    parser.add_argument("--to", type=Path, default=ROOT / "docs/benchmarks")
    parser.add_argument("--report", action="store_true", help="only write the page and plots anew")
    options = parser.parse_args()
    to: Path = options.to
    to.mkdir(parents=True, exist_ok=True)
    file = to / "results.json"
    if not options.report:
        scenarios = SHORT if options.short else FULL
        rounds = options.rounds or (2 if options.short else 3)
        if options.only:
            scenarios = [scenario for scenario in scenarios if scenario.group in options.only]
        results: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            "command": "make bench" if options.short else "make bench-full",
            "machine": machine(),
            "versions": {name: server.version_text() for name, server in SERVERS.items() if server.is_there},
            "scenarios": run_all(scenarios, rounds, options.scale),
        }
        if not options.only or "end to end" in options.only:
            results["end to end"] = endtoend.run_all(
                options.rounds or (2 if options.short else 3), options.short
            )
        if options.only and file.exists():
            results = merged(json.loads(file.read_text()), results)
        file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    report.write(json.loads(file.read_text()), to)
    print(to / "README.md")


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The results of a whole run with some groups measured again."""
    again = {scenario["group"] for scenario in new["scenarios"]}
    kept = [scenario for scenario in old["scenarios"] if scenario["group"] not in again]
    return old | new | {"scenarios": kept + new["scenarios"], "command": old["command"]}


if __name__ == "__main__":
    main()
