"""Submitting jobs: clients, tasks and task sets, blocking and in asyncio, and the text protocol."""

from ..wire.text import FunctionStatus, JobLine, PriorityStatus, WorkerStatus
from .admin import Admin, AsyncAdmin
from .asynchronous import AsyncClient
from .blocking import Client
from .compose import Composition, chain, each, group
from .executor import Executor, ExecutorFuture
from .futures import AsyncJobFuture, JobFuture
from .results import AsyncResults, Results
from .states import TaskState
from .task import JobStatus, Priority, Task
from .taskset import AsyncTaskSet, TaskSet
from .typed import AsyncTypedFunction, TypedFunction

__all__ = [
    "Admin",
    "AsyncAdmin",
    "AsyncClient",
    "AsyncJobFuture",
    "AsyncResults",
    "AsyncTaskSet",
    "AsyncTypedFunction",
    "Client",
    "Composition",
    "Executor",
    "ExecutorFuture",
    "FunctionStatus",
    "JobFuture",
    "JobLine",
    "JobStatus",
    "Priority",
    "PriorityStatus",
    "Results",
    "Task",
    "TaskSet",
    "TaskState",
    "TypedFunction",
    "WorkerStatus",
    "chain",
    "each",
    "group",
]
