"""A worker with something to do that is worth doing once for everybody who waits for it."""

import os
import time

from geartrain import Job, Worker

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


@worker.function("render_front_page")
def render_front_page(job: Job) -> str:
    print(f"rendering for {job.unique}", flush=True)
    time.sleep(1)
    return f"<h1>{job.workload.decode()}</h1>"


if __name__ == "__main__":
    worker.run()
