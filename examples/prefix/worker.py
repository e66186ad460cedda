"""A worker for one of several environments that share a job server: `worker.py test`."""

import os
import sys

from geartrain import Job, Worker

environment = sys.argv[1]
worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","), prefix=environment)


@worker.function("whoami")
def whoami(job: Job) -> str:
    return f"the {environment} worker"


if __name__ == "__main__":
    worker.run()
