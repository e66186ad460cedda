"""A thousand jobs through foreign workers: every one is answered, once, and nobody complains."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from geartrain import Client, Task, TaskSet

from .capabilities import Peer, Server
from .stage import PATIENCE, Stage, wait_for_unfinished

PLAIN = 500
SHARED = 500
UNIQUES = 50
"""So many jobs do for the shared ones."""
WORKERS = 2


@pytest.mark.parametrize("peer", [Peer.PERL, Peer.PHP], ids=lambda peer: peer.value)
def test_a_thousand_coalesced_and_plain_jobs_run_clean(peer: Peer, stage: Stage, running: ExitStack) -> None:
    server = stage.server(Server.GEARTRAIN)
    prefix = f"thousand-{peer.value}."
    function = f"{prefix}reverse"
    client = running.enter_context(Client([server.address]))
    tasks = TaskSet(client)
    for number in range(PLAIN):
        tasks.add(Task(function, b"plain %d" % number))
    for number in range(SHARED):
        key = number % UNIQUES
        tasks.add(Task(function, b"shared %d" % key, unique=f"unique-{key}"))

    waiting = running.enter_context(ThreadPoolExecutor(1)).submit(tasks.wait, PATIENCE)
    # Nobody works yet, so all that can be shared is shared.
    wait_for_unfinished(server, function, PLAIN + UNIQUES)
    workers = [running.enter_context(stage.start_worker(server, peer, prefix)) for _ in range(WORKERS)]
    assert waiting.result(PATIENCE)

    assert len(tasks.tasks) == PLAIN + SHARED
    assert all(task.result == task.workload[::-1] for task in tasks.tasks)
    wait_for_unfinished(server, function, 0)
    for worker in workers:
        assert worker.returncode is None, worker.report()
        assert worker.output == ""
    assert server.process.returncode is None, server.process.report()
