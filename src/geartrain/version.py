"""The version of this release, and the form it runs in."""

from __future__ import annotations

from importlib.util import find_spec

__version__ = "0.1.0"


def form() -> str:
    """`"compiled"` if the hot path runs as native modules, else `"pure"`."""
    spec = find_spec("geartrain.wire.parser")
    return "pure" if spec is None or spec.origin is None or spec.origin.endswith(".py") else "compiled"
