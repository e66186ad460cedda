"""The functions that a broker knows, by name: which policy each has, and how fast its jobs may start."""

from __future__ import annotations

import json
import math
from collections.abc import ItemsView, Mapping, ValuesView
from typing import Any, Final

from .dispatch import Dispatch
from .ledger import Ledger
from .limits import MAX_NAME, Refused
from .policies import Policies
from .policy import Policy
from .records import Document
from .state import Function

PACE: Final = "pace"
"""The kind of the documents that say how many jobs of a function with a rate might start, and when."""
TELL_AFTER: Final = 1.0
"""Seconds between two of these of one function."""


class Functions:
    """As with a dict by name, but that `known` makes what is missing.

    Args:
        ledger: where the pace of functions with a rate is noted, so that it holds over a restart.
        most: how many there may be; 0: any number.
        policy: what functions have of which nobody said anything.
    """

    def __init__(self, dispatch: Dispatch, ledger: Ledger, most: int, policy: Policy) -> None:
        self._dispatch = dispatch
        self._ledger = ledger
        self._most = most
        self._by_name: dict[bytes, Function] = {}
        self.policies = Policies(policy)
        # Functions whose policy limits their rate.
        self._paced: dict[bytes, Function] = {}
        # How many jobs of a function that is not known might start, and since when: seconds since the epoch.
        self._paces: dict[bytes, tuple[float, float]] = {}
        self._wall = 0.0
        # Whether idle functions were looked for in this tick.
        self._is_swept = False

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: bytes) -> bool:
        return name in self._by_name

    def get(self, name: bytes) -> Function | None:
        """The function of that name, if it is known."""
        return self._by_name.get(name)

    def values(self) -> ValuesView[Function]:
        """Every function; none may come or go meanwhile."""
        return self._by_name.values()

    def items(self) -> ItemsView[bytes, Function]:
        """Every function with its name; none may come or go meanwhile."""
        return self._by_name.items()

    # Coming and going

    def known(self, name: bytes) -> Function:
        """The function of that name, made known if it is not.

        Raises:
            Refused: the name is too long or holds a NUL, or there are too many functions.
        """
        function = self._by_name.get(name)
        if function is None:
            if len(name) > MAX_NAME:
                raise Refused(b"ARGUMENT_TOO_LARGE", b"Function name too large")
            if b"\0" in name:
                # Whoever reads a list that begins with one takes it for a packet.
                raise Refused(b"INVALID_FUNCTION_NAME", b"Function name with a NUL")
            self._make_room()
            function = self._make_known(name)
        return function

    def of_job(self, name: bytes) -> Function:
        """The same for a job that was accepted before, whatever the limits are now."""
        return self._by_name.get(name) or self._make_known(name)

    def _make_known(self, name: bytes) -> Function:
        function = self._by_name[name] = Function(name, self.policies.get(name))
        self._pace(function)
        return function

    def _make_room(self) -> None:
        """Forget idle functions if there are as many as there may be, not more than once in a tick."""
        functions = self._by_name
        if not self._most or len(functions) < self._most:
            return
        if not self._is_swept:
            self._is_swept = True
            for function in [function for function in functions.values() if function.is_idle]:
                self.forget(function)
        if len(functions) >= self._most:
            raise Refused(b"LIMIT_REACHED", b"There are too many functions")

    def forget(self, function: Function) -> None:
        """A function is not known any more; what comes under its name is another one's."""
        del self._by_name[function.name]
        function.forgotten = True
        if self._paced.pop(function.name, None) is not None:
            self._paces[function.name] = (function.tokens, self._wall)

    # Policies

    def configure(self, configured: Mapping[bytes, Mapping[str, Any]]) -> None:
        """What the configuration says of functions, all of it; what was set at run time goes before.

        Raises:
            ValueError: a setting can't be understood; then nothing was changed.
        """
        for name in self.policies.configure(configured):
            self.apply_policy(name)

    def apply_policy(self, name: bytes) -> None:
        """A function's policy was changed: from now on it holds for the jobs that are there, too."""
        function = self._by_name.get(name)
        if function is not None:
            function.policy = self.policies.get(name)
            self._pace(function)
            self._dispatch.rebalance(function)

    def _pace(self, function: Function) -> None:
        policy = function.policy
        if policy.rate:
            # A function that was paced before is not given a burst for each change.
            if function.name not in self._paced:
                tokens, since = self._paces.pop(function.name, (policy.burst, 0.0))
                function.tokens = tokens + policy.rate * max(0.0, self._wall - since)
            function.tokens = min(function.tokens, policy.burst)
            self._paced[function.name] = function
        else:
            self._paced.pop(function.name, None)
            self._paces.pop(function.name, None)

    def restore_pace(self, document: Document, wall: float) -> None:
        """Take up how many jobs of a function might start when the journal was told of it.

        Raises:
            ValueError: it can't be understood.
        """
        try:
            tokens, since = json.loads(document.value)
            pace = float(tokens), float(since)
        except (ValueError, TypeError, RecursionError):
            raise ValueError("the pace can't be read") from None
        if not (math.isfinite(pace[0]) and math.isfinite(pace[1])):
            raise ValueError("the pace can't be read")
        self._wall = wall
        name = document.key.encode("utf-8", "surrogateescape")
        # A clock that was set back makes no function wait for longer than its rate does.
        self._paces[name] = max(0.0, pace[0]), min(pace[1], wall)

    def tick(self, passed: float, wall: float) -> None:
        """So many seconds have passed: let those go on whose rate is limited."""
        self._is_swept = False
        self._wall = wall
        for function in self._paced.values():
            policy = function.policy
            function.tokens = min(policy.burst, function.tokens + policy.rate * passed)
            if (
                function.spent
                and not self._dispatch.paused
                and not 0 < function.told_from - wall <= TELL_AFTER
            ):
                self._tell(function)
            self._dispatch.rebalance(function)

    def _tell(self, function: Function) -> None:
        """Note a function's pace in the journal."""
        function.spent = 0
        # Where few jobs start each of them is noted, where many do only some.
        function.told_from = self._wall + (TELL_AFTER if function.policy.rate > 1 else 0.0)
        key = function.name.decode("utf-8", "surrogateescape")
        value = json.dumps([round(function.tokens, 6), self._wall]).encode()
        self._ledger.keep(Document(PACE, key, value))
