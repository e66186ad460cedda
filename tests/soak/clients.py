"""Clients of each kind, which submit, wait, lose patience and change their minds."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from typing import Final

from geartrain import AsyncClient, Client, GeartrainError, Task, TaskSet

from .account import FUNCTIONS, WEIGHTS, Account

PATIENCE: Final = 90.0
"""Seconds in which a task must have an outcome, whatever is done to its server and worker."""
AT_A_TIME: Final = 20
PAUSE: Final = 0.02
"""Seconds between two rounds of a client, so that they do not starve what they test."""


class Clients:
    """Clients that go on until they are told to stop; each ends with its tasks."""

    def __init__(self, servers: Sequence[str], account: Account, seed: int) -> None:
        self._servers = servers
        self._account = account
        self._stopping = threading.Event()
        works = [self._task_sets, self._task_sets, self._coroutines, self._background]
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, random.Random(seed + number)))
            for number, work in enumerate(works)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let them finish what they have begun."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE)
            if thread.is_alive():
                self._account.complain(f"the client {thread.name} did not end")

    def _guarded(self, work, chance: random.Random) -> None:  # type: ignore[no-untyped-def]
        try:
            while not self._stopping.is_set():
                # A client lives for some rounds, so that closing them is tried, too.
                work(chance)
        except BaseException as error:
            self._account.complain(f"a client ended with {error!r}")
            raise

    def _going_on(self, chance: random.Random) -> bool:
        return not self._stopping.wait(PAUSE) and chance.random() > 0.05

    # Blocking, with callbacks

    def _task_sets(self, chance: random.Random) -> None:
        with Client(self._servers, connect_timeout=2) as client:
            while self._going_on(chance):
                tasks = TaskSet(client)
                outcomes: dict[Task, list[bytes | BaseException]] = {}
                for _ in range(AT_A_TIME):
                    task = tasks.add(_new_task(chance))
                    outcomes[task] = []
                    task.on_complete(lambda task, result, outcomes=outcomes: outcomes[task].append(result))
                    task.on_fail(lambda task, error, outcomes=outcomes: outcomes[task].append(error))
                try:
                    tasks.wait(PATIENCE)
                except GeartrainError as error:
                    self._account.count(f"task set: {type(error).__name__}")
                    tasks.wait(PATIENCE) if any(not task.done for task in tasks.tasks) else None
                for task, ends in outcomes.items():
                    if len(ends) == 1:
                        self._account.ended(task.function, task.workload, ends[0])
                    else:
                        self._account.complain(f"{task!r} has {len(ends)} outcomes: {ends!r:.200}")

    # Coroutines that are cancelled

    def _coroutines(self, chance: random.Random) -> None:
        asyncio.run(self._run_coroutines(chance))

    async def _run_coroutines(self, chance: random.Random) -> None:
        async with AsyncClient(self._servers, connect_timeout=2) as client:
            while self._going_on(chance):
                async with asyncio.TaskGroup() as group:
                    for _ in range(AT_A_TIME):
                        running = group.create_task(self._one(client, chance))
                        if chance.random() < 0.3:
                            asyncio.get_running_loop().call_later(chance.random() / 5, running.cancel)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            self._account.complain(f"asyncio tasks are left: {left!r:.500}")

    async def _one(self, client: AsyncClient, chance: random.Random) -> None:
        task = _new_task(chance)
        gives_up = chance.random() < 0.2
        try:
            future = await client.submit(task.function, task.workload)
            if gives_up:
                await asyncio.sleep(chance.random() / 10)
                if future.cancel():
                    self._account.count("given up by its client")
                    return
            outcome: bytes | BaseException = await future.result(PATIENCE)
        except GeartrainError as error:
            outcome = error
        except asyncio.CancelledError:
            self._account.count("cancelled")
            raise
        self._account.ended(task.function, task.workload, outcome)

    # In the background

    def _background(self, chance: random.Random) -> None:
        with Client(self._servers, connect_timeout=2, timeout=PATIENCE) as client:
            while self._going_on(chance):
                for _ in range(AT_A_TIME):
                    workload = b"%d-%d" % (time.time_ns(), chance.getrandbits(32))
                    self._account.submitted.add(workload)
                    try:
                        client.background("record", workload)
                    except GeartrainError as error:
                        self._account.count(f"background: {type(error).__name__}")
                    else:
                        self._account.acknowledged.add(workload)


def _new_task(chance: random.Random) -> Task:
    (function,) = chance.choices(FUNCTIONS, WEIGHTS)
    size = chance.choice((1, 10, 100, 1000)) if chance.random() < 0.99 else 300_000
    # Not a palindrome, and printable: it is the text of an exception, too.
    workload = b"%016x" % chance.getrandbits(64) + b"x" * size
    if function == "raise":
        workload = workload[:100]
    return Task(function, workload, retry_count=chance.choice((0, 0, 1)))
