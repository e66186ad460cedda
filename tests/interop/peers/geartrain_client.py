"""The client of the interoperability tests, with geartrain's own library.

python -m tests.interop.peers.geartrain_client HOST PORT JOB...

How a JOB is written and what is printed is told in __init__.py beside this file.
"""

import sys
import time
from pathlib import Path

from geartrain import Client, GeartrainError, JobException, Task, TaskSet


def tell(number: int, event: str, *words: object) -> None:
    print(number, event, *words, flush=True)


def poll(client: Client, number: int, handle: str) -> None:
    """Tell a background job's status, whenever it changes, until the server does not know it any more."""
    last = None
    known = True
    while known:
        status = client.status(handle)
        known = status.known
        if status != last:
            tell(number, "polled", int(known), int(status.running), status.numerator, status.denominator)
            last = status
        time.sleep(0.005)


def made(client: Client, number: int, mode: str, function: str, unique: str, workload: bytes) -> Task:
    """A task that tells what happens to it."""
    words = mode.split("-")
    task = Task(
        function,
        workload,
        unique=unique,
        priority=words[0] if words[0] in ("high", "low") else "normal",
        background=words[-1] in ("background", "poll"),
    )

    @task.on_created
    def created(task: Task) -> None:
        tell(number, "created", task.handle)
        if mode == "poll":
            poll(client, number, task.handle)

    @task.on_fail
    def failed(task: Task, failure: GeartrainError) -> None:
        if isinstance(failure, JobException):
            tell(number, "exception", failure.data.hex())
        else:
            tell(number, "fail")

    task.on_status(lambda task, numerator, denominator: tell(number, "status", numerator, denominator))
    task.on_data(lambda task, data: tell(number, "data", data.hex()))
    task.on_warning(lambda task, data: tell(number, "warning", data.hex()))
    task.on_complete(lambda task, result: tell(number, "complete", result.hex()))
    return task


def main(host: str, port: str, *words: str) -> None:
    with Client(f"{host}:{port}") as client:
        tasks = TaskSet(client)
        for number, (mode, function, unique, file) in enumerate(zip(*[iter(words)] * 4, strict=True)):
            tasks.add(made(client, number, mode, function, unique, Path(file).read_bytes()))
        tasks.wait()


main(*sys.argv[1:])
