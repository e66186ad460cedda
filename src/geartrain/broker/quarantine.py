"""Stored items that can't be used. They stay in the journal until somebody replaces or removes them."""

from __future__ import annotations

from collections.abc import ValuesView
from typing import NamedTuple


class Quarantined(NamedTuple):
    """One of them."""

    kind: str
    """`job`, or the kind of a document: `schedule`, `policy`, `result`, `server` …"""
    key: str
    """The job's handle, or the document's key."""
    value: bytes
    """The document; empty for a job, which is among the dead."""
    reason: str


class Quarantine:
    """The stored items of one server that can't be used, by kind and key."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Quarantined] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, kind: str, key: str, value: bytes, reason: str) -> None:
        """Quarantine an item."""
        self._items[kind, key] = Quarantined(kind, key, value, reason)

    def release(self, kind: str, key: str) -> None:
        """Let go of an item that was replaced or removed; nothing happens if it is not there."""
        self._items.pop((kind, key), None)

    def get(self, kind: str, key: str) -> Quarantined | None:
        """Return the item, if it is there."""
        return self._items.get((kind, key))

    def values(self) -> ValuesView[Quarantined]:
        """Return every item."""
        return self._items.values()

    def of(self, kind: str) -> dict[str, Quarantined]:
        """Return the items of a kind by key."""
        return {key: item for (its_kind, key), item in self._items.items() if its_kind == kind}
