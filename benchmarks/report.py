"""The page and the plots of a run: `README.md` and PNGs beside its `results.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from . import endtoend, plots
from .results import Results, number
from .scenarios import CORE

FLAT: Final = {
    "functions on the server": "functions that the server knows",
    "abilities of each worker": "functions that each worker announced",
    "sleeping workers": "other workers, asleep",
    "queued jobs": "jobs queued meanwhile that nobody takes",
    "idle connections": "connections open meanwhile",
    "bytes of a workload": "bytes of a workload",
}


def write(data: dict[str, Any], to: Path) -> None:
    """Write everything for one run's results."""
    results = Results(data)
    for old in to.glob("*.png"):
        old.unlink()
    parts = [_head(data)]
    if CORE in results.groups:
        plots.bars(results, CORE, "server_us", "server CPU a job, µs (less is better)", to / "cost.png")
        plots.bars(results, CORE, "jobs_per_second", "jobs a second (more is better)", to / "rate.png")
        parts += [_core(results)]
    flat = [group for group in FLAT if len(results.groups.get(group, [])) > 1]
    if flat:
        plots.curves(results, flat, FLAT, to / "flat.png")
        parts.append(_flat(results, flat))
    if "memory" in results.groups:
        parts.append(_memory(results))
    if "durable" in results.groups:
        parts.append(_durable(results))
    if "jobs a second offered" in results.groups:
        group = results.groups["jobs a second offered"]
        if len(group) > 1:
            plots.latency(results, to / "latency.png")
        parts.append(_latencies(results, len(group) > 1))
    if data.get("end to end"):
        plots.end_to_end(data["end to end"], to / "end-to-end.png")
        parts.append(_ends(data["end to end"]))
    (to / "README.md").write_text("\n".join(parts))


def _median(scenario: dict[str, Any], server: str, figure: str) -> float | None:
    found = scenario["servers"].get(server)
    return found[figure]["median"] if found and figure in found else None


def _head(data: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    libraries = ", ".join(f"{name} {version}" for name, version in endtoend.versions().items())
    machine = data["machine"]
    return f"""# Benchmarks

Measured on {data["date"]} with `{data["command"]}`, which repeats all of it and writes this page anew
(`results.json` holds every figure).{data.get("note", "")}

- Machine: {machine["processor"]}, {machine["cores"]} cores, {machine["memory"]}, {machine["system"]},
  Python {machine["python"]}, loopback TCP with {machine["congestion control"]}. Its load was
  {machine["load before"]} before the run: where that is not near zero, other programs ran beside it, and the cost
  of a job in CPU time is what to compare; jobs a second are what was left for the servers.
- Servers: {versions}.
- Libraries: {libraries}.
- Every server runs with its defaults but for its address and how many descriptors it may open; ours with a
  memory journal where gearmand has no queue. Runs are interleaved, each with a server started anew. The figures
  are medians, in brackets the least and the most. CPU is the operating system's accounting of all the server's
  threads; the generator's own cost stands beside it. Workloads are 100 bytes unless a title says otherwise.
"""


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in body]) + "\n"


def _figure(found: dict[str, float] | None) -> str:
    if found is None:
        return "–"
    return f"{number(found['median'])} ({number(found['min'])} to {number(found['max'])})"


def _core(results: Results) -> str:
    group = results.groups[CORE]
    servers = results.servers(CORE)
    costs = [["server CPU a job, µs", *servers, "ours / gearmand"]]
    rates = [["jobs a second", *servers, "generator CPU a job, µs"]]
    for scenario in group:
        ours, theirs = (_median(scenario, name, "server_us") for name in ("geartrain", "gearmand"))
        ratio = f"**{ours / theirs:.2f}**" if ours and theirs else "–"
        found = scenario["servers"]
        costs.append(
            [scenario["name"], *(_figure(found.get(name, {}).get("server_us")) for name in servers), ratio]
        )
        rates.append(
            [
                scenario["name"],
                *(_figure(found.get(name, {}).get("jobs_per_second")) for name in servers),
                _figure(found.get("geartrain", {}).get("generator_us")),
            ]
        )
    return f"""## What a job costs

![What a job costs each server](cost.png)

{_table(costs)}
The clients and workers are one process, the load generator, on the same two cores as the server: where its own
cost (last column below) is not far under the server's, it is what limits the jobs a second.

![Jobs a second](rate.png)

{_table(rates)}
beanstalkd and Redis queue jobs for workers that acknowledge them and have no results, so they are in the background
modes only; the Redis worker moves a job to a list of its own (`BLMOVE`) and removes it there (`LREM`). NATS passes
requests on to subscribers without queueing or acknowledging them: a lesser promise, for less.
"""


def _flat(results: Results, groups: list[str]) -> str:
    rows = [["server CPU a job at the most, over that at the least", "from", "to", "geartrain", "gearmand"]]
    for group in groups:
        scenarios = sorted(results.groups[group], key=lambda scenario: scenario["x"])
        # The first is one or ten: a system that is only just awake is no measure.
        first, last = scenarios[0], scenarios[-1]
        ratios = []
        for server in ("geartrain", "gearmand"):
            low, high = _median(first, server, "server_us"), _median(last, server, "server_us")
            ratios.append(f"{high / low:.2f}" if low and high else "–")
        rows.append([FLAT[group], f"{first['x']:,.0f}", f"{last['x']:,.0f}", *ratios])
    herd = ""
    for scenario in results.groups.get("sleeping workers", []):
        ours, theirs = (_median(scenario, name, "server_us") for name in ("geartrain", "gearmand"))
        if scenario["x"] == 2000 and ours and theirs:
            herd = (
                f"With 2,000 sleeping workers a job costs gearmand {theirs:,.0f} µs, since it wakes them all, and "
                f"ours {ours:,.1f} µs: {ours / theirs:.4f} times as much.\n"
            )
    return f"""## Costs that stay flat

![The cost of a job as the work grows](flat.png)

{_table(rows)}
Ten million queued jobs need `limits.job_bytes = 0` on our server, which refuses jobs beyond 2 GiB by default.
{herd}"""


def _memory(results: Results) -> str:
    rows = [["", "", "bytes a queued job", "of that given back after draining"]]
    for scenario in results.groups["memory"]:
        for name in ("geartrain", "gearmand"):
            empty, full, after = (
                _median(scenario, name, f"rss_{when}") for when in ("empty", "full", "after")
            )
            if empty and full and after:
                jobs = scenario["jobs"][name]
                share = (full - after) / (full - empty)
                rows.append([scenario["name"], name, f"{(full - empty) / jobs:,.0f}", f"{share:.0%}"])
    return f"""## Memory

Resident memory before, with all jobs queued, and a second after the last one was drained.

{_table(rows)}"""


def _durable(results: Results) -> str:
    servers = results.servers("durable")
    rows = [["acknowledged when durable", *(f"{name}: jobs a second" for name in servers), *servers]]
    for scenario in results.groups["durable"]:
        found = scenario["servers"]
        rows.append(
            [
                scenario["name"],
                *(_figure(found.get(name, {}).get("jobs_per_second")) for name in servers),
                *(_figure(found.get(name, {}).get("server_us")) + " µs" for name in servers),
            ]
        )
    return f"""## Durable submissions

Background jobs that the server acknowledges once its SQLite file holds them. gearmand commits each by itself, ours
commits in groups.

{_table(rows)}"""


def _latencies(results: Results, plotted: bool) -> str:
    group = results.groups["jobs a second offered"]
    servers = results.servers("jobs a second offered")
    rows = [["offered", "", "p50, ms", "p99, ms", "p99.9, ms", "server CPU a job, µs"]]
    for scenario in group:
        for name in servers:
            found = scenario["servers"].get(name)
            if found:
                figures = [_figure(found[key]) for key in ("p50_ms", "p99_ms", "p999_ms", "server_us")]
                rows.append([f"{scenario['x']:,.0f} a second", name, *figures])
    plot = "![Latency at a fixed rate](latency.png)\n\n" if plotted else ""
    return f"""## Latency at a fixed rate

One client submits at that rate whatever comes back, 8 workers answer. A job's time counts from when it was due,
also where the generator was late (no coordinated omission).

{plot}{_table(rows)}"""


def _ends(entries: list[dict[str, Any]]) -> str:
    rows = [["worker", "server", "a second", "CPU of all processes a task, µs"]]
    for kind, title in (
        ("tasks", "tasks with results, many at a time"),
        ("round trips", "one after the other"),
        (endtoend.LARGE, "a workload of 16 MB, by libgearman"),
        (
            endtoend.SMALL_WRITES,
            "one after the other, each packet in two small writes, with Nagle's algorithm",
        ),
        (endtoend.COMMANDS, "tasks with results, by the worker command"),
    ):
        rows.append([f"**{title}**", "", "", ""])
        for entry in sorted(
            (entry for entry in entries if entry["kind"] == kind),
            key=lambda entry: -entry["per_second"]["median"],
        ):
            rows.append(
                [entry["name"], entry["server"], _figure(entry["per_second"]), _figure(entry.get("cpu_us"))]
            )
    return f"""## End to end

A no-op task with its result, from a client in one process through a server to a worker in another and back. Each
library with its defaults, and one worker process. libgearman is a client and a worker in C. The last part is each
library's own command for production, with the processes and threads that its row names. What libgearman sends of a
large workload waits for an acknowledgement each 64 KB, since its sockets hold no more.

![Tasks a second, end to end](end-to-end.png)

{_table(rows)}"""
