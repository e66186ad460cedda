"""Submitting jobs: clients, tasks and task sets, blocking and in asyncio, and the text protocol."""

from ..wire.text import FunctionStatus, JobLine, PriorityStatus, WorkerStatus
from .admin import Admin, AsyncAdmin
from .asynchronous import AsyncClient
from .blocking import Client
from .futures import AsyncJobFuture, JobFuture
from .task import JobStatus, Priority, Task, TaskState
from .taskset import AsyncTaskSet, TaskSet

__all__ = [
    "Admin",
    "AsyncAdmin",
    "AsyncClient",
    "AsyncJobFuture",
    "AsyncTaskSet",
    "Client",
    "FunctionStatus",
    "JobFuture",
    "JobLine",
    "JobStatus",
    "Priority",
    "PriorityStatus",
    "Task",
    "TaskSet",
    "TaskState",
    "WorkerStatus",
]
