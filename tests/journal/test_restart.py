"""What a client finds again after a restart: its job by the old handle, its result, the queue's order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from geartrain import AsyncClient, Client
from geartrain.server import ServerOptions
from tests.harness.rawwire import Packet
from tests.server.running import RunningServer


def serving(path: Path) -> RunningServer:
    return RunningServer(ServerOptions(port=0, journal=f"sqlite:{path}", keep_results=3600.0))


def test_jobs_keep_their_handles_order_and_uniques(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    kinds = (Packet.SUBMIT_JOB_LOW_BG, Packet.SUBMIT_JOB_BG, Packet.SUBMIT_JOB_HIGH_BG)
    with serving(path) as running, running.connect() as client, running.connect() as worker:
        handles = {
            (type, number): client.submit("f", f"{number}", unique=f"{type}{number}", type=type)
            for number in range(3)
            for type in kinds
        }
        worker.can_do("f")
        worker.grab()  # it runs when the server ends, and has to run again
    with serving(path) as running, running.connect() as client:
        for handle in handles.values():
            assert client.status(handle)[:2] == (b"1", b"0")
        kind = Packet.SUBMIT_JOB_BG
        assert client.submit("f", "other", unique=f"{kind}1", type=kind) == handles[kind, 1]
        later = client.submit("f", "later", type=Packet.SUBMIT_JOB_LOW_BG)
        assert later not in handles.values()
        client.can_do("f")
        order = [client.grab().handle for _ in range(10)]
        assert order == [*(handles[type, number] for type in reversed(kinds) for number in range(3)), later]


def test_a_result_is_fetched_with_the_python_client_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with serving(path) as running, running.connect() as worker:
        with Client(f"127.0.0.1:{running.port}") as client:
            handle = client.background("f", b"w")
        worker.can_do("f")
        worker.complete(worker.grab().handle, b"result")

    async def fetch(port: int) -> bytes:
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            return await client.result(handle, timeout=10)

    with serving(path) as running:
        with Client(f"127.0.0.1:{running.port}") as client:
            assert client.result(handle, timeout=10) == b"result"
        assert asyncio.run(fetch(running.port)) == b"result"
