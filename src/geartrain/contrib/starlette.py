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
    """What the lifespan adds to the state of each request."""

    gearman: AsyncClient


Lifespan = Callable[[Any], AbstractAsyncContextManager[GearmanState]]


def gearman_lifespan(servers: str | Sequence[str] | None = None, **options: Any) -> Lifespan:
    """A lifespan with one `AsyncClient` for all requests, closed at the end.

    An application with a lifespan of its own enters this one in there and yields its state along.

    Args:
        servers: as for `AsyncClient`.
        options: its further arguments, such as `timeout` and `prefix`.
    """

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[GearmanState]:
        async with AsyncClient(servers, **options) as client:
            yield {"gearman": client}

    return lifespan


def gearman(request: HTTPConnection) -> AsyncClient:
    """The application's client.

    Raises:
        RuntimeError: the application runs without `gearman_lifespan`.
    """
    client = getattr(request.state, _STATE, None)
    if not isinstance(client, AsyncClient):
        raise RuntimeError("the application needs lifespan=gearman_lifespan(...) to have a client")
    return client
