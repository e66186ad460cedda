"""Gearman in a Django project: `pip install 'geartrain[django]'`.

In the settings:

    INSTALLED_APPS = [..., "geartrain.contrib.django"]
    GEARTRAIN = {"SERVERS": ["127.0.0.1:4730"], "TIMEOUT": 30}

In `gearman.py` of any application, its functions:

    from geartrain.contrib.django import worker

    @worker.function
    def resize(photo_id: int) -> None: ...

`python manage.py gearman_worker --processes 4` runs them. Calls from any other module:

    from geartrain.contrib.django import client

    client().function(resize).background(photo.id)
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ...client import Client
from ...worker import Worker

__all__ = ["client", "worker"]


@cache
def client() -> Client:
    """Return the project's client, shared by all threads.

    The setting `GEARTRAIN` may have `SERVERS`, `PREFIX`, `TIMEOUT` (seconds for one call) and
    `CONNECT_TIMEOUT`, as for `geartrain.Client`.
    """
    settings = _settings()
    return Client(
        settings.get("SERVERS"),
        prefix=settings.get("PREFIX", ""),
        timeout=settings.get("TIMEOUT"),
        connect_timeout=settings.get("CONNECT_TIMEOUT", 5.0),
    )


@cache
def _worker() -> Worker:
    from django.db import close_old_connections

    settings = _settings()
    made = Worker(
        settings.get("SERVERS"),
        prefix=settings.get("PREFIX", ""),
        client_id=settings.get("CLIENT_ID", ""),
        connect_timeout=settings.get("CONNECT_TIMEOUT", 5.0),
    )
    # As around a request: no stale database connection reaches the next job.
    made.before_job(lambda job: close_old_connections())
    made.after_job(lambda job: close_old_connections())
    return made


def _settings() -> dict[str, Any]:
    from django.conf import settings

    found: dict[str, Any] = getattr(settings, "GEARTRAIN", {})
    known = {"SERVERS", "PREFIX", "TIMEOUT", "CONNECT_TIMEOUT", "CLIENT_ID"}
    if unknown := sorted(found.keys() - known):
        from django.core.exceptions import ImproperlyConfigured

        raise ImproperlyConfigured(f"GEARTRAIN: there is no {unknown[0]}, but {', '.join(sorted(known))}")
    return found


def __getattr__(name: str) -> Any:
    # Made on first access, because the settings are not ready at import.
    if name == "worker":
        return _worker()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
