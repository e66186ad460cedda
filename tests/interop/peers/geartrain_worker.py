"""The worker of the interoperability tests, with Geartrain: geartrain_worker.py HOST PORT PREFIX.

What each function does is written in __init__.py beside this file.
"""

import os
import signal
import sys
import time

from geartrain import Job, JobFailed, Worker

host, port, prefix = sys.argv[1:]
worker = Worker(f"{host}:{port}")


def pass_gate(job: Job) -> None:
    """Note the name in PATH.log, then wait until PATH.open is there."""
    path, name = job.workload.decode().split()
    with open(f"{path}.log", "a") as log:
        print(name, file=log)
    deadline = time.monotonic() + 20
    while not os.path.exists(f"{path}.open") and time.monotonic() < deadline:
        time.sleep(0.005)


@worker.function(prefix + "reverse")
def reverse(job: Job) -> bytes:
    return job.workload[::-1]


@worker.function(prefix + "fail")
def fail(job: Job) -> None:
    raise JobFailed


@worker.function(prefix + "raise")
def raise_exception(job: Job) -> None:
    raise RuntimeError(job.workload.decode())


@worker.function(prefix + "chunks")
def chunks(job: Job) -> str:
    for line in job.workload.splitlines(keepends=True):
        job.data(line)
    return "done"


@worker.function(prefix + "warn")
def warn(job: Job) -> str:
    job.warning(job.workload)
    return "done"


@worker.function(prefix + "gate")
def gate(job: Job) -> str:
    pass_gate(job)
    return "done"


@worker.function(prefix + "progress")
def progress(job: Job) -> str:
    job.status(1, 2)
    pass_gate(job)
    job.status(2, 2)
    return "done"


@worker.function(prefix + "die")
def die(job: Job) -> str:
    try:
        os.close(os.open(job.workload, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "survived"
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it lives")


worker.run()
