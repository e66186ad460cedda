"""A client that is told how far its job is, by a callback."""

import os
import sys

from geartrain import Client, Task, TaskSet

task = Task("sleep", sys.argv[1] if len(sys.argv) > 1 else "1")


@task.on_status
def show(task: Task, numerator: int, denominator: int) -> None:
    print(f"{numerator} of {denominator}")


with Client(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")) as client:
    tasks = TaskSet(client)
    tasks.add(task)
    if tasks.wait():
        print((task.result or b"").decode())
    else:
        sys.exit(str(task.failure))
