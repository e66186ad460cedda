"""What is logged about peers that misbehave: who and why, but never more than a reader can take.

Whoever can open connections could otherwise fill the disk with the log of what is refused.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import structlog

PER_SECOND: Final = 10
"""Complaints that are logged in a second at most; the others are counted."""

_log = structlog.get_logger("geartrain.server")


class Complaints:
    """The complaints of one server."""

    def __init__(self) -> None:
        self._second = -1
        self._logged = 0
        self._left_out = 0

    def __call__(self, now: float, event: str, *, level: int = logging.WARNING, **fields: Any) -> None:
        """Log something, unless there was enough in this second of `now`."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._logged = 0
            if self._left_out:
                _log.warning("there were more complaints", left_out=self._left_out)
                self._left_out = 0
        if self._logged < PER_SECOND:
            self._logged += 1
            _log.log(level, event, **fields)
        else:
            self._left_out += 1
