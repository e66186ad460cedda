"""A worker that sends its result in pieces, each as soon as it is there."""

import os
import time

from geartrain import Job, Worker

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


@worker.function("spell")
def spell(job: Job) -> None:
    for letter in job.workload.decode():
        job.data(letter)
        time.sleep(0.1)


if __name__ == "__main__":
    worker.run()
