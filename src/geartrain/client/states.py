"""Where a task is on its way."""

from __future__ import annotations

from enum import Enum
from typing import Final


class TaskState(Enum):
    """Where a task is on its way; the value is the word for people."""

    NEW = "new"
    """Made, and given to no client yet."""
    WAITING = "waiting"
    """Given to a client, not sent yet: it waits for a connection or for its turn."""
    SUBMITTED = "submitted"
    """Sent, not acknowledged yet."""
    CREATED = "created"
    """The job server has it and gave it a handle. For a background task this is the end."""
    RUNNING = "running"
    """A worker has sent data, a warning or a status for it; one that sends none of these is not noticed."""
    SUCCEEDED = "succeeded"
    """It has a result."""
    FAILED = "failed"
    """It has none and will get none; `failure` says why."""
    TIMED_OUT = "timed out"
    """Its `timeout` passed. The job itself may go on."""
    CANCELLED = "cancelled"
    """Nobody waits for it any more. The job itself may go on."""


NEW: Final = TaskState.NEW
WAITING: Final = TaskState.WAITING
SUBMITTED: Final = TaskState.SUBMITTED
CREATED: Final = TaskState.CREATED
RUNNING: Final = TaskState.RUNNING
SUCCEEDED: Final = TaskState.SUCCEEDED
FAILED: Final = TaskState.FAILED
