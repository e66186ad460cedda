"""A client for the requests of a Starlette application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from geartrain import Worker
from geartrain.contrib.starlette import gearman, gearman_lifespan
from tests.harness.processes import wait_until
from tests.server.running import RunningServer
from tests.worker.running import working


async def reverse(request: Request) -> Response:
    return Response(await gearman(request).run("reverse", await request.body()))


async def text(request: Request) -> Response:
    return PlainTextResponse(str(await gearman(request).function(shout)("hello")))


def shout(text: str) -> str:
    return text.upper()


ROUTES = [Route("/reverse", reverse, methods=["POST"]), Route("/shout", text)]


@asynccontextmanager
async def browser(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that runs, as a server would have it run."""
    async with app.router.lifespan_context(app) as state:

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(app=serve)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def test_all_requests_share_a_client_that_the_application_opens_and_closes() -> None:
    async def main(address: str) -> None:
        app = Starlette(routes=ROUTES, lifespan=gearman_lifespan(address, timeout=20))
        async with browser(app) as client:
            answers = await asyncio.gather(*(client.post("/reverse", content=b"hello") for _ in range(5)))
            assert [answer.content for answer in answers] == [b"olleh"] * 5
            assert (await client.get("/shout")).text == "HELLO"
            assert peers() == 2  # the worker and the application

    with RunningServer() as server:
        address = f"127.0.0.1:{server.port}"

        def peers() -> int:
            return server.ask(lambda server: len(server.broker.peers))

        worker = Worker(address)
        worker.register("reverse", lambda job: job.workload[::-1])
        worker.function(shout)
        with working(worker):
            asyncio.run(main(address))
        wait_until(lambda: peers() == 0, "nobody is connected any more")


def test_an_application_without_the_lifespan_is_told_so() -> None:
    async def main() -> None:
        async with browser(Starlette(routes=ROUTES)) as client:
            with pytest.raises(RuntimeError, match="gearman_lifespan"):
                await client.get("/shout")

    asyncio.run(main())
