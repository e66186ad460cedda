"""The plots of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from . import endtoend
from .results import COLOURS, Results, number

plt.rcParams.update(
    {
        "figure.dpi": 110,
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.grid": True,
        "grid.color": "#e5e5e5",
        "axes.axisbelow": True,
    }
)


def bars(results: Results, group: str, figure: str, label: str, file: Path) -> None:
    scenarios = results.groups[group]
    servers = results.servers(group)
    fig, axes = plt.subplots(2, 3, figsize=(12, 5.8), layout="constrained")
    for axis, scenario in zip(axes.flat, scenarios, strict=False):
        there = [name for name in servers if name in scenario["servers"]]
        places = range(len(there))
        found = [scenario["servers"][name][figure] for name in there]
        values = [entry["median"] for entry in found]
        axis.barh(
            places,
            values,
            xerr=[
                [entry["median"] - entry["min"] for entry in found],
                [entry["max"] - entry["median"] for entry in found],
            ],
            color=[COLOURS[name] for name in there],
            error_kw={"ecolor": "#444", "elinewidth": 1, "capsize": 2},
        )
        axis.set_xlim(0, max(entry["max"] for entry in found) * 1.25)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        for place, entry in zip(places, found, strict=True):
            axis.text(
                entry["max"] + 0.03 * axis.get_xlim()[1],
                place,
                number(entry["median"]),
                va="center",
                fontsize=9,
            )
        axis.set_yticks(places, there)
        axis.invert_yaxis()
        axis.set_title(scenario["name"], loc="left")
        axis.grid(visible=False, axis="y")
        axis.minorticks_off()
    fig.supxlabel(label, fontsize=10)
    fig.savefig(file)
    plt.close(fig)


def curves(results: Results, groups: list[str], titles: dict[str, str], file: Path) -> None:
    columns = min(3, len(groups))
    lines = (len(groups) + columns - 1) // columns
    fig, grid = plt.subplots(
        lines, columns, figsize=(4 * columns, 3.1 * lines), layout="constrained", squeeze=False
    )
    for axis, group in zip(grid.flat, groups, strict=False):
        scenarios = sorted(results.groups[group], key=lambda scenario: scenario["x"])
        highest = 0.0
        for server in results.servers(group):
            points = [
                (scenario["x"], scenario["servers"][server]["server_us"])
                for scenario in scenarios
                if server in scenario["servers"]
            ]
            if points:
                _line(axis, [x for x, _ in points], [found for _, found in points], server)
                highest = max(highest, *(found["max"] for _, found in points))
        axis.set_xscale("log")
        axis.set_yscale("log")
        lowest = min(
            found["server_us"]["min"] for scenario in scenarios for found in scenario["servers"].values()
        )
        # At least two decades, so that noise doesn't look like a slope.
        axis.set_ylim(min(lowest / 2, 3), max(highest * 2, 300))
        axis.set_title(titles[group], loc="left")
        axis.set_ylabel("server CPU a job, µs")
        axis.minorticks_off()
    for axis in grid.flat[len(groups) :]:
        axis.set_axis_off()
    grid.flat[0].legend(frameon=False, loc="upper left")
    fig.savefig(file)
    plt.close(fig)


def _line(axis: Axes, xs: list[float], found: list[dict[str, float]], server: str) -> None:
    axis.plot(xs, [entry["median"] for entry in found], marker="o", ms=4, color=COLOURS[server], label=server)
    axis.fill_between(
        xs,
        [entry["min"] for entry in found],
        [entry["max"] for entry in found],
        color=COLOURS[server],
        alpha=0.15,
        lw=0,
    )


def latency(results: Results, file: Path) -> None:
    group = sorted(results.groups["jobs a second offered"], key=lambda scenario: scenario["x"])
    fig, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained", sharey=True)
    for axis, (key, title) in zip(
        axes, (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9")), strict=True
    ):
        for server in results.servers("jobs a second offered"):
            points = [(s["x"], s["servers"][server][key]) for s in group if server in s["servers"]]
            _line(axis, [x for x, _ in points], [found for _, found in points], server)
        axis.set_xscale("log")
        axis.set_yscale("log")
        rates = [scenario["x"] for scenario in group]
        axis.set_xticks(rates, [f"{rate:,.0f}" for rate in rates])
        axis.minorticks_off()
        axis.set_title(title, loc="left")
        axis.set_xlabel("jobs a second offered")
    axes[0].set_ylabel("milliseconds")
    axes[0].legend(frameon=False, loc="upper left")
    fig.savefig(file)
    plt.close(fig)


def end_to_end(entries: list[dict[str, Any]], file: Path) -> None:
    titles = {
        "tasks": "tasks with results, many at a time",
        "round trips": "one after the other",
        endtoend.LARGE: "a workload of 16 MB, by libgearman",
        endtoend.COMMANDS: "tasks with results, by the worker command",
    }
    kinds = [kind for kind in titles if any(entry["kind"] == kind for entry in entries)]
    counts = [sum(entry["kind"] == kind for entry in entries) for kind in kinds]
    fig, axes = plt.subplots(
        len(kinds),
        1,
        figsize=(10, 1.2 + 0.42 * len(entries)),
        layout="constrained",
        squeeze=False,
        height_ratios=[count + 1 for count in counts],
    )
    for axis, kind in zip(axes.flat, kinds, strict=True):
        chosen = sorted(
            (entry for entry in entries if entry["kind"] == kind),
            key=lambda entry: -entry["per_second"]["median"],
        )
        values = [entry["per_second"]["median"] for entry in chosen]
        colours = ["#0b6e4f" if entry["name"].startswith("geartrain") else "#8d99ae" for entry in chosen]
        axis.barh(range(len(chosen)), values, color=colours)
        for place, value in enumerate(values):
            axis.text(value + 0.01 * max(values), place, number(value), va="center")
        axis.set_yticks(range(len(chosen)), [entry["name"] for entry in chosen])
        axis.invert_yaxis()
        axis.set_xlim(0, max(values) * 1.15)
        axis.set_title(titles[kind], loc="left")
        axis.grid(visible=False, axis="y")
        axis.minorticks_off()
    axes.flat[-1].set_xlabel("a second (more is better)")
    fig.savefig(file)
    plt.close(fig)
