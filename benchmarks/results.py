"""What a run measured, as the page and the plots want it."""

from __future__ import annotations

from typing import Any, Final

COLOURS: Final = {
    "geartrain": "#0b6e4f",
    "geartrain, pure Python": "#73c2a0",
    "geartrain, SQLite": "#0b6e4f",
    "gearmand": "#c8553d",
    "gearmand, SQLite": "#c8553d",
    "Gearman::Server": "#e3a587",
    "beanstalkd": "#8d99ae",
    "Redis": "#5c677d",
    "NATS": "#a98467",
}


class Results:
    """What a run measured, by group."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.groups: dict[str, list[dict[str, Any]]] = {}
        for scenario in data["scenarios"]:
            self.groups.setdefault(scenario["group"], []).append(scenario)

    def servers(self, group: str) -> list[str]:
        """The servers of a group, in the order of the colours."""
        there = {name for scenario in self.groups[group] for name in scenario["servers"]}
        return [name for name in COLOURS if name in there]


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
