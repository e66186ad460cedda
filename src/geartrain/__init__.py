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

A program that only submits loads no worker, one that only works loads no client, and neither loads the job
server, which is `geartrain.server`, or `geartrain serve`.
"""

import importlib
from typing import TYPE_CHECKING

from .errors import (
    ArgumentError,
    ClosedError,
    ConfigError,
    ConnectionLostError,
    GeartrainError,
    GroupError,
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
    TimeLimitError,
    UnknownJobError,
    WaitTimeoutError,
)
from .version import __version__

if TYPE_CHECKING:
    from .client import (
        Admin,
        AsyncAdmin,
        AsyncClient,
        AsyncJobFuture,
        AsyncResults,
        AsyncTaskSet,
        AsyncTypedFunction,
        Client,
        Composition,
        Executor,
        ExecutorFuture,
        FunctionStatus,
        JobFuture,
        JobLine,
        JobStatus,
        Priority,
        PriorityStatus,
        Results,
        Task,
        TaskSet,
        TaskState,
        TypedFunction,
        WorkerStatus,
        chain,
        each,
        group,
    )
    from .tls import tls_context
    from .worker import Job, Worker, current_job

__all__ = [
    "Admin",
    "ArgumentError",
    "AsyncAdmin",
    "AsyncClient",
    "AsyncJobFuture",
    "AsyncResults",
    "AsyncTaskSet",
    "AsyncTypedFunction",
    "Client",
    "ClosedError",
    "Composition",
    "ConfigError",
    "ConnectionLostError",
    "Executor",
    "ExecutorFuture",
    "FunctionStatus",
    "GeartrainError",
    "GroupError",
    "Job",
    "JobError",
    "JobException",
    "JobFailed",
    "JobFuture",
    "JobLine",
    "JobLostError",
    "JobStatus",
    "LineTooLongError",
    "MalformedPacketError",
    "NoServersError",
    "PacketTooLargeError",
    "Priority",
    "PriorityStatus",
    "ProtocolError",
    "ResultError",
    "Results",
    "ServerError",
    "Task",
    "TaskSet",
    "TaskState",
    "TimeLimitError",
    "TypedFunction",
    "UnknownJobError",
    "WaitTimeoutError",
    "Worker",
    "WorkerStatus",
    "__version__",
    "chain",
    "current_job",
    "each",
    "group",
    "tls_context",
]


_IN_WORKER = ("Job", "Worker", "current_job")


def __getattr__(name: str) -> object:
    """Load the client or the worker library when something of it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = ".worker" if name in _IN_WORKER else ".tls" if name == "tls_context" else ".client"
    library = importlib.import_module(room, __name__)
    value = globals()[name] = getattr(library, name)
    return value
