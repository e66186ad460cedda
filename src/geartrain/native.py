"""What the compiler has to be told, and what runs in its place where nothing is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**options: Any) -> Callable[[type], type]:
        """Say something about a class that compiles, such as that classes which do not inherit from it."""
        return lambda owner: owner
