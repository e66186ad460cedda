"""The functions that a broker knows, by name: which policy each has, and how fast its jobs may start."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping, ValuesView
from typing import Any

from .dispatch import Dispatch
from .limits import MAX_NAME, Refused
from .policies import Policies
from .policy import Policy
from .state import Function


class Functions:
    """As with a dict by name, but that `known` makes what is missing.

    Args:
        most: how many there may be; 0: any number.
        policy: what functions have of which nobody said anything.
    """

    def __init__(self, dispatch: Dispatch, most: int, policy: Policy) -> None:
        self._dispatch = dispatch
        self._most = most
        self._by_name: dict[bytes, Function] = {}
        self.policies = Policies(policy)
        # Functions whose policy limits their rate.
        self._paced: dict[bytes, Function] = {}
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
        self._paced.pop(function.name, None)

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
            was_paced = function.name in self._paced
            function.tokens = min(function.tokens, policy.burst) if was_paced else policy.burst
            self._paced[function.name] = function
        else:
            self._paced.pop(function.name, None)

    def tick(self, passed: float) -> None:
        """So many seconds have passed: let those go on whose rate is limited."""
        self._is_swept = False
        for function in self._paced.values():
            policy = function.policy
            function.tokens = min(policy.burst, function.tokens + policy.rate * passed)
            self._dispatch.rebalance(function)
