"""A worker whose jobs nobody waits for: what it does shows in the file that it writes."""

import os
import time
from pathlib import Path

from geartrain import Job, Worker

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


@worker.function("write_report")
def write_report(job: Job) -> None:
    pages = 4
    text = ""
    for page in range(pages):
        job.status(page, pages)
        time.sleep(0.25)
        text += f"Page {page + 1}\n"
    Path(job.workload.decode()).write_text(text)


if __name__ == "__main__":
    worker.run()
