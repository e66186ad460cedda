"""A client of OpenStack's gear."""

from __future__ import annotations

import time

import gear

from .clock import port, timed

client = gear.Client()
client.addServer("127.0.0.1", port())
client.waitForServer()


def submit(count: int) -> None:
    jobs = [gear.Job(b"noop", b"") for _ in range(count)]
    for job in jobs:
        client.submitJob(job)
    for job in jobs:
        while not job.complete:
            time.sleep(0.0005)


timed(submit)
