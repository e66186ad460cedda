"""A worker whose jobs end in each of the ways that a job can end."""

import os

from geartrain import Job, JobFailed, Worker

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


@worker.function("withdraw")
def withdraw(job: Job) -> str:
    amount = int(job.workload)  # not a number: ValueError, and the client gets its text
    if amount > 100:
        raise JobFailed("over the limit")  # the client learns that it failed, and no more
    if amount > 50:
        job.warning("this is more than half of what you have")  # the job goes on
    return f"here is {amount}"


if __name__ == "__main__":
    worker.run()
