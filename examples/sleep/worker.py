"""A worker that takes its time and tells how far it is."""

import os
import time

from geartrain import Job, Worker

STEPS = 5

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


@worker.function("sleep")
def sleep(job: Job) -> str:
    seconds = float(job.workload)
    for step in range(STEPS):
        job.status(step, STEPS)
        time.sleep(seconds / STEPS)
    job.status(STEPS, STEPS)
    return f"slept {seconds:g} s"


if __name__ == "__main__":
    worker.run()
