"""Gearman in a Django project: `pip install 'geartrain[django]'`.

In the settings:

    INSTALLED_APPS = [..., "geartrain.contrib.django"]
    GEARTRAIN = {"SERVERS": ["127.0.0.1:4730"], "TIMEOUT": 30}

In `gearman.py` of any application, what workers do:

    from geartrain.contrib.django import worker

    @worker.function
    def resize(photo_id: int) -> None: ...

`python manage.py gearman_worker --processes 4` runs them, and anywhere else

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
    """The project's client, the same one for all threads.

    Of the setting `GEARTRAIN` these are used: `SERVERS`, `PREFIX`, `TIMEOUT`
    (seconds that a call may take) and `CONNECT_TIMEOUT`, as for `geartrain.Client`.
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
    # As around a request: a connection that has become old or unusable is not taken into the next job.
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
    # The worker is made when it is first asked for, since the settings are there only then.
    if name == "worker":
        return _worker()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
