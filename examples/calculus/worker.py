"""A worker for the four operations; `worker.py addition` is one for addition alone."""

import operator
import os
import sys

from geartrain import Job, Worker

OPERATIONS = {
    "addition": operator.add,
    "subtraction": operator.sub,
    "multiplication": operator.mul,
    "division": operator.truediv,
}

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


def calculate(job: Job) -> str:
    a, b = map(float, job.workload.split())
    return f"{OPERATIONS[job.function](a, b):g}"


for function in sys.argv[1:] or OPERATIONS:
    worker.register(function, calculate)

if __name__ == "__main__":
    worker.run()
