"""Geartrain: a complete Gearman system in Python.

A client:

    from geartrain import Client

    with Client("127.0.0.1:4730") as client:
        print(client.run("reverse", b"hello"))

A worker:

    from geartrain import Worker

    worker = Worker("127.0.0.1:4730")

    @worker.function("reverse")
    def reverse(job):
        return job.workload[::-1]

    worker.run()

A program that only submits loads no worker, and neither loads the job server, which is `geartrain.server`, or
`geartrain serve`.
"""

from typing import TYPE_CHECKING

from .client import (
    Admin,
    AsyncAdmin,
    AsyncClient,
    AsyncJobFuture,
    AsyncTaskSet,
    Client,
    FunctionStatus,
    JobFuture,
    JobStatus,
    Priority,
    Task,
    TaskSet,
    TaskState,
    WorkerStatus,
)
from .errors import (
    ArgumentError,
    ClosedError,
    ConnectionLostError,
    GeartrainError,
    JobError,
    JobException,
    JobFailed,
    JobLostError,
    LineTooLongError,
    MalformedPacketError,
    NoServersError,
    PacketTooLargeError,
    ProtocolError,
    ResultError,
    ServerError,
    WaitTimeoutError,
)
from .version import __version__

if TYPE_CHECKING:
    from .worker import Job, Worker

__all__ = [
    "Admin",
    "ArgumentError",
    "AsyncAdmin",
    "AsyncClient",
    "AsyncJobFuture",
    "AsyncTaskSet",
    "Client",
    "ClosedError",
    "ConnectionLostError",
    "FunctionStatus",
    "GeartrainError",
    "Job",
    "JobError",
    "JobException",
    "JobFailed",
    "JobFuture",
    "JobLostError",
    "JobStatus",
    "LineTooLongError",
    "MalformedPacketError",
    "NoServersError",
    "PacketTooLargeError",
    "Priority",
    "ProtocolError",
    "ResultError",
    "ServerError",
    "Task",
    "TaskSet",
    "TaskState",
    "WaitTimeoutError",
    "Worker",
    "WorkerStatus",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name in ("Job", "Worker"):
        from . import worker

        return getattr(worker, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
