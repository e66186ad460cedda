"""A job server and a worker with functions that end in every way, for the commands to talk to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.servers import JobServer, geartrain

from .command import start, wait_for_workers

WORKER = """
import os, time
from geartrain import Job, JobFailed, Worker

worker = Worker()
failures = {}

@worker.function("reverse")
def reverse(job):
    return job.workload[::-1]

@worker.function("fail")
def fail(job):
    raise JobFailed("no reason")

@worker.function("raise")
def raise_(job):
    raise ValueError("no such account\\n\\x1b[31mred")

@worker.function("odd")
def odd(job):
    if int(job.workload) % 2:
        raise ValueError(f"{int(job.workload)} is odd")
    return job.workload

@worker.function("second_time")
def second_time(job):
    failures[job.workload] = failures.get(job.workload, 0) + 1
    if failures[job.workload] == 1:
        raise JobFailed()
    return "the second time"

@worker.function("chatty")
def chatty(job):
    job.warning("mind the gap")
    job.data("one\\n")
    for step in range(4):
        job.status(step, 4)
        time.sleep(0.15)
    job.data("two\\n")
    return "three\\n"

@worker.function("nap")
def nap(job):
    time.sleep(float(job.workload))
    return "awake"

@worker.function("unique")
def unique(job):
    return job.unique
"""
FUNCTIONS = ("reverse", "fail", "raise", "odd", "second_time", "chatty", "nap", "unique")


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    """A job server with one worker for every function of `FUNCTIONS`."""
    folder: Path = tmp_path_factory.mktemp("stage")
    (folder / "tasks.py").write_text(WORKER)
    with geartrain() as server, start("work", "tasks", "--server", server.address, server=server, cwd=folder):
        wait_for_workers(server, *FUNCTIONS)
        yield server


@pytest.fixture
def server() -> Iterator[JobServer]:
    """A job server for the test alone."""
    with geartrain() as server:
        yield server
