"""Strict round trips of ours: the next job is submitted when the result of the last one is there."""

from __future__ import annotations

from geartrain import Client

from .clock import port, timed

with Client(f"127.0.0.1:{port()}") as client:

    def submit(count: int) -> None:
        for _ in range(count):
            client.run("noop", b"")

    timed(submit)
