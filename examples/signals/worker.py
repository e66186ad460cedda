"""A worker and its signals: SIGTERM lets the job in hand finish, SIGHUP has it read its greeting again."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from geartrain import Job, Worker

file = Path(sys.argv[1])
greeting = file.read_text().strip()

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


def read_again(number: int, frame: FrameType | None) -> None:
    global greeting
    greeting = file.read_text().strip()
    print("greeting read again", flush=True)


signal.signal(signal.SIGHUP, read_again)


@worker.function("greet")
def greet(job: Job) -> str:
    print("greeting", flush=True)
    time.sleep(1)
    return f"{greeting}, {job.workload.decode()}!"


if __name__ == "__main__":
    # SIGTERM and SIGINT are the worker's own: the first lets it finish its job, the second stops it at once.
    done = worker.run()
    print(f"jobs done: {done}")
