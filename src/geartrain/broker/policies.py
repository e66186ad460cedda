"""Which policy a function has: what the configuration says of it, and over that what was set at run time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from .limits import MAX_NAME
from .policy import Policy
from .records import Document

KIND: Final = "policy"
"""The kind of the documents that hold what was set at run time."""
MOST: Final = 10_000
"""Functions that something can be set for at run time."""


class Policies:
    """The policies of one broker, by function name.

    Args:
        default: what functions have of which nobody said anything.
    """

    def __init__(self, default: Policy) -> None:
        self.default = default
        self._configured: dict[bytes, dict[str, Any]] = {}
        self._set: dict[bytes, dict[str, Any]] = {}
        self._made: dict[bytes, Policy] = {}

    def get(self, name: bytes) -> Policy:
        """The policy of a function."""
        return self._made.get(name, self.default)

    def names(self) -> list[bytes]:
        """The functions of which somebody said something."""
        return sorted(self._made)

    def configure(self, configured: Mapping[bytes, Mapping[str, Any]]) -> list[bytes]:
        """What the configuration says, all of it; returns the functions whose policy may have changed.

        Raises:
            ValueError: a setting can't be understood; then nothing was changed.
        """
        for name, settings in configured.items():
            try:
                Policy().update(dict(settings))
            except ValueError as error:
                raise ValueError(f"function {name.decode('utf-8', 'replace')!r}: {error}") from None
        changed = [*self._configured, *configured]
        self._configured = {name: dict(settings) for name, settings in configured.items()}
        for name in changed:
            self._make(name)
        return changed

    def set(self, name: bytes, settings: dict[str, Any]) -> Document:
        """Change some settings of a function; returns what a journal has to keep for that.

        Raises:
            ValueError: a setting can't be understood, the name is too long, or too many functions have
                settings; then nothing was changed.
        """
        Policy().update(settings)
        if len(name) > MAX_NAME:
            raise ValueError(f"a function's name has {MAX_NAME} bytes at most")
        if name not in self._set and len(self._set) >= MOST:
            raise ValueError(f"there are settings of {MOST} functions already: reset some")
        self._set[name] = {**self._set.get(name, {}), **settings}
        self._make(name)
        return Document(KIND, _key(name), json.dumps(self._set[name], sort_keys=True).encode())

    def reset(self, name: bytes) -> str:
        """Forget what was set at run time; returns the key of the document that kept it."""
        self._set.pop(name, None)
        self._make(name)
        return _key(name)

    def restore(self, document: Document) -> None:
        """Take up what a journal kept.

        Raises:
            ValueError: it can't be understood; then nothing was changed.
        """
        name = document.key.encode("utf-8", "surrogateescape")
        try:
            settings = json.loads(document.value)
        except (ValueError, RecursionError):
            raise ValueError("it is not JSON") from None
        if not isinstance(settings, dict):
            raise ValueError("it is not a JSON object")
        Policy().update(settings)
        self._set[name] = settings
        self._make(name)

    def _make(self, name: bytes) -> None:
        if name not in self._configured and name not in self._set:
            self._made.pop(name, None)
            return
        policy = Policy()
        policy.update(self.default.settings())
        policy.update(self._configured.get(name, {}))
        policy.update(self._set.get(name, {}))
        self._made[name] = policy


def _key(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
