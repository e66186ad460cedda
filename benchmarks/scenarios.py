"""What is measured: each scenario is one run of the load generator against each of its servers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

GEARMAN: Final = ("geartrain", "gearmand")
ALL_GEARMAN: Final = ("geartrain", "geartrain, pure Python", "gearmand", "Gearman::Server")
QUEUES: Final = (*ALL_GEARMAN, "beanstalkd", "Redis")


@dataclass(frozen=True)
class Scenario:
    """One measurement. `x` is its place on the axis of a plot, where it is one point of several."""

    group: str
    name: str
    servers: tuple[str, ...]
    jobs: int
    options: dict[str, object] = field(default_factory=dict)
    x: float = 0.0
    fewer: dict[str, int] = field(default_factory=dict)
    """Jobs for servers that would take too long over `jobs`."""
    env: dict[str, str] = field(default_factory=dict)
    """What differs from our server's defaults."""

    @property
    def key(self) -> str:
        """Under which the results keep it."""
        return f"{self.group}: {self.name}"


def _many(clients: int, workers: int, window: int, **more: object) -> dict[str, object]:
    return {"clients": clients, "workers": workers, "window": window, **more}


CORE: Final = "core"
_SLOW: Final = {"Gearman::Server": 10_000}

CORE_SCENARIOS: Final = [
    Scenario(CORE, "ping-pong 1 × 1", (*ALL_GEARMAN, "NATS"), 20_000, _many(1, 1, 1), fewer=_SLOW),
    Scenario(CORE, "4 × 4, window 1", (*ALL_GEARMAN, "NATS"), 40_000, _many(4, 4, 1), fewer=_SLOW),
    Scenario(CORE, "16 × 16, window 16", (*ALL_GEARMAN, "NATS"), 100_000, _many(16, 16, 16), fewer=_SLOW),
    Scenario(
        CORE, "background 4 × 4, window 64", QUEUES, 80_000, _many(4, 4, 64, mode="background"), fewer=_SLOW
    ),
    Scenario(CORE, "submit only, window 64", QUEUES, 300_000, _many(4, 0, 64, mode="submit"), fewer=_SLOW),
    Scenario(CORE, "drain with 4 workers", QUEUES, 80_000, _many(4, 4, 64, mode="drain"), fewer=_SLOW),
]

DURABLE: Final = [
    Scenario(
        "durable",
        f"submit, {clients} clients, window {window}",
        ("geartrain, SQLite", "gearmand, SQLite"),
        20_000,
        _many(clients, 0, window, mode="submit"),
        fewer={"gearmand, SQLite": 500},
    )
    for clients, window in ((1, 1), (16, 16))
]

MEMORY: Final = [
    Scenario(
        "memory",
        "a million queued jobs of 100 bytes, drained",
        GEARMAN,
        1_000_000,
        _many(4, 4, 64, mode="drain"),
    ),
    Scenario(
        "memory",
        "100,000 queued jobs of 2,000 bytes, drained",
        GEARMAN,
        100_000,
        _many(4, 4, 64, mode="drain", size=2000),
    ),
]


def _flat(group: str, option: str, points: tuple[int, ...], **more: object) -> list[Scenario]:
    base = _many(4, 4, 4) | more
    return [
        Scenario(group, f"{point:,}", GEARMAN, 20_000, base | {option: point}, x=point) for point in points
    ]


FLAT: Final = [
    *_flat("functions on the server", "functions", (1, 10, 100, 1_000, 10_000)),
    *_flat("abilities of each worker", "abilities", (1, 10, 100, 1_000)),
    *_flat("queued jobs", "queued", (1, 1_000, 100_000, 1_000_000)),
    *_flat("idle connections", "idle", (1, 10, 100, 1_000, 10_000)),
]

SLEEPERS: Final = [
    Scenario(
        "sleeping workers",
        f"{count:,}",
        GEARMAN,
        10_000,
        _many(1, 1, 1, sleepers=count),
        x=count,
        fewer={"gearmand": max(100, 10_000 // max(1, count // 10))},
    )
    for count in (1, 10, 100, 1_000, 2_000, 10_000)
]

# By default our server refuses jobs beyond 2 GiB.
HUGE: Final = [
    replace(scenario, env={"GEARTRAIN_LIMITS_JOB_BYTES": "0"})
    for scenario in _flat("queued jobs", "queued", (10_000_000,))
]

SIZES: Final = [
    Scenario(
        "bytes of a workload",
        f"{size:,}",
        GEARMAN,
        max(20, min(20_000, (1 << 30) // size)),
        _many(4, 4, 1, size=size),
        x=size,
    )
    for size in (1, 100, 1_000, 10_000, 100_000, 1_000_000, 16_000_000, 64_000_000)
]

LATENCY: Final = [
    Scenario(
        "jobs a second offered",
        f"{rate:,}",
        ("geartrain", "geartrain, pure Python", "gearmand"),
        0,
        _many(1, 8, 1, mode="latency", rate=rate, seconds=4),
        x=rate,
    )
    for rate in (500, 1_000, 2_000, 4_000, 8_000)
]

SHORT: Final = [
    *CORE_SCENARIOS,
    *[scenario for scenario in SLEEPERS if scenario.x in (10, 2_000)],
    *[scenario for scenario in LATENCY if scenario.x == 2_000],
]
FULL: Final = [*CORE_SCENARIOS, *DURABLE, *MEMORY, *FLAT, *SLEEPERS, *HUGE, *SIZES, *LATENCY]
