"""docs/integrations.md runs. Its Django part is the project of test_django.py."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.server.running import RunningServer
from tests.worker.running import working

PAGE: Final = (Path(__file__).parents[2] / "docs" / "integrations.md").read_text()
BLOCKS: Final = re.findall(r"^```python\n(.*?)^```", PAGE.partition("## Django")[0], re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_the_page_runs(folder: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    with RunningServer() as server, contextlib.ExitStack() as workers:
        for block in BLOCKS:
            code = block.replace("127.0.0.1:4730", f"127.0.0.1:{server.port}")
            name = re.match(r"# (\w+)\.py\n", block)
            if name:
                (folder / f"{name[1]}.py").write_text(code)
                workers.enter_context(working(__import__(name[1]).worker))
                continue
            printed: list[str] = []
            # Its own, since the server in this process logs to standard output meanwhile.
            names["print"] = lambda *words, printed=printed: printed.append(" ".join(map(str, words)))
            exec(compile(code, "page", "exec"), names)
            assert printed == re.findall(r"print\(.*\)  # (.*)", block)
        assert asyncio.run(ask(names["app"], "/add?a=2&b=3")) == "5"


async def ask(app: Any, path: str) -> str:
    async with app.router.lifespan_context(app) as state:

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(app=serve)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get(path)).text
