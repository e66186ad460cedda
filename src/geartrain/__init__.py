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

Importing this loads nothing of the job server; that is `geartrain.server`, or `geartrain serve`.
"""

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
    ServerError,
    WaitTimeoutError,
)
from .version import __version__
from .worker import Job, Worker

__all__ = [
    "Admin",
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
    "ServerError",
    "Task",
    "TaskSet",
    "TaskState",
    "WaitTimeoutError",
    "Worker",
    "WorkerStatus",
    "__version__",
]
