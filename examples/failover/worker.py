"""A worker for two job servers at once: it takes turns between them, and comes back to one that was gone."""

import os

from geartrain import Job, Worker

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730,127.0.0.1:4731").split(","))


@worker.function("double")
def double(job: Job) -> str:
    return str(2 * int(job.workload))


if __name__ == "__main__":
    worker.run()
