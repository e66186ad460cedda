"""The worker of the interoperability tests, with OpenStack's gear: gear_worker.py HOST PORT PREFIX.

What each function does is written in __init__.py beside this file.
"""

import os
import signal
import sys
import time

import gear

host, port, prefix = sys.argv[1:]


def pass_gate(job: gear.WorkerJob) -> None:
    """Note the name in PATH.log, then wait until PATH.open is there."""
    path, name = job.arguments.decode().split()
    with open(f"{path}.log", "a") as log:
        print(name, file=log)
    deadline = time.monotonic() + 20
    while not os.path.exists(f"{path}.open") and time.monotonic() < deadline:
        time.sleep(0.005)


def reverse(job: gear.WorkerJob) -> None:
    job.sendWorkComplete(job.arguments[::-1])


def fail(job: gear.WorkerJob) -> None:
    job.sendWorkFail()


def raise_exception(job: gear.WorkerJob) -> None:
    job.sendWorkException(job.arguments)


def chunks(job: gear.WorkerJob) -> None:
    for line in job.arguments.splitlines(keepends=True):
        job.sendWorkData(line)
    job.sendWorkComplete(b"done")


def warn(job: gear.WorkerJob) -> None:
    job.sendWorkWarning(job.arguments)
    job.sendWorkComplete(b"done")


def gate(job: gear.WorkerJob) -> None:
    pass_gate(job)
    job.sendWorkComplete(b"done")


def progress(job: gear.WorkerJob) -> None:
    job.sendWorkStatus(1, 2)
    pass_gate(job)
    job.sendWorkStatus(2, 2)
    job.sendWorkComplete(b"done")


def die(job: gear.WorkerJob) -> None:
    try:
        os.close(os.open(job.arguments, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        job.sendWorkComplete(b"survived")
    else:
        os.kill(os.getpid(), signal.SIGKILL)


FUNCTIONS = {
    "reverse": reverse,
    "fail": fail,
    "raise": raise_exception,
    "chunks": chunks,
    "warn": warn,
    "gate": gate,
    "progress": progress,
    "die": die,
}

worker = gear.Worker("interop")
worker.addServer(host, int(port))
worker.waitForServer(timeout=10)
for name in FUNCTIONS:
    worker.registerFunction(prefix + name)
while True:
    job = worker.getJob()
    FUNCTIONS[job.name.removeprefix(prefix)](job)
