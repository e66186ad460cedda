"""A client for the requests of a Starlette or FastAPI application: `pip install 'geartrain[starlette]'`.

    app = Starlette(lifespan=gearman_lifespan("jobs.example"), routes=[...])

    async def thumbnail(request):
        return Response(await gearman(request).run("thumbnail", await request.body()))

With FastAPI `gearman` is a dependency: `client: Annotated[AsyncClient, Depends(gearman)]`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypedDict

from starlette.requests import HTTPConnection

from ..client import AsyncClient

_STATE: Final = "gearman"


class GearmanState(TypedDict):
    """State of each request, as the lifespan sets it."""

    gearman: AsyncClient


Lifespan = Callable[[Any], AbstractAsyncContextManager[GearmanState]]


def gearman_lifespan(servers: str | Sequence[str] | None = None, **options: Any) -> Lifespan:
    """Return a lifespan with one `AsyncClient` for all requests.

    An application with a lifespan of its own enters this one inside it and merges the yielded state.

    Args:
        servers: as for `AsyncClient`.
        options: further arguments of `AsyncClient`, such as `timeout` and `prefix`.
    """

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[GearmanState]:
        async with AsyncClient(servers, **options) as client:
            yield {"gearman": client}

    return lifespan


def gearman(request: HTTPConnection) -> AsyncClient:
    """Return the application's client.

    Raises:
        RuntimeError: the application has no `gearman_lifespan`.
    """
    client = getattr(request.state, _STATE, None)
    if not isinstance(client, AsyncClient):
        raise RuntimeError("the application needs lifespan=gearman_lifespan(...) to have a client")
    return client
