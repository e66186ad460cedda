"""A client that meets a result, a warning, an exception and a failure, and tries the failed job again."""

import os

from geartrain import Client, Task, TaskSet

tasks = {amount: Task("withdraw", amount, retry_count=1) for amount in ("20", "60", "much", "500")}

for task in tasks.values():
    task.on_warning(lambda task, text: print(f"{task.workload.decode()}: warning: {text.decode()}"))
    task.on_retry(lambda task, n: print(f"{task.workload.decode()}: retry {n}"))

with Client(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")) as client:
    together = TaskSet(client)
    for task in tasks.values():
        together.add(task)
    print("all went well" if together.wait() else "not all went well")

for amount, task in tasks.items():
    print(f"{amount}: {task.failure!r}" if task.failure else f"{amount}: {(task.result or b'').decode()}")
