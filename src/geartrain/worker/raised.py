"""Logging of a program's exceptions, even if rendering one raises."""

from __future__ import annotations

from typing import Any

from .signals import ENDS_WORKER


def log_raised(log: Any, event: str, error: BaseException, **names: object) -> None:
    """Log an error with its traceback, or with its type alone if it can't be rendered."""
    try:
        log.error(event, **names, exc_info=error)
    except ENDS_WORKER:
        raise
    except BaseException as trouble:
        reason = f"{type(error).__qualname__}, whose text can't be shown: {type(trouble).__qualname__}"
        log.error(event, **names, reason=reason)
