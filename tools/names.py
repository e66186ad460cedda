"""Check that no class and no constant under src/ has the name of another one: `grep` finds one thing.

    python tools/names.py

The exceptions are in `ALLOWED`, each with its reason.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

SOURCES = Path("src")
ALLOWED: dict[str, str] = {}
"""Names that may be defined more than once, and why."""

_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]+")


def definitions(path: Path) -> list[tuple[str, int]]:
    """Return the classes and constants that a file defines at its top level, with their lines."""
    found: list[tuple[str, int]] = []
    body = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while body:
        node = body.pop(0)
        if isinstance(node, ast.If | ast.Try):
            # The branches of one condition define one thing.
            body[:0] = node.body
        elif isinstance(node, ast.ClassDef):
            found.append((node.name, node.lineno))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [
                (target.id, node.lineno)
                for target in targets
                if isinstance(target, ast.Name) and _CONSTANT.fullmatch(target.id)
            ]
    return found


def main() -> int:
    """Print each name that is defined in more than one file."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCES.rglob("*.py")):
        for name, line in definitions(path):
            places[name.lstrip("_")].append(f"{path}:{line}")
    repeated = {name: where for name, where in places.items() if len(where) > 1}
    for name, where in sorted(repeated.items()):
        if name not in ALLOWED:
            print(f"{name} is defined {len(where)} times: {', '.join(where)}")
    for name in sorted(ALLOWED.keys() - repeated.keys()):
        print(f"{name} needs no exception any more: remove it from ALLOWED")
    return 1 if repeated.keys() != ALLOWED.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
