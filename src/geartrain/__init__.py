"""Geartrain: a complete Gearman system in Python."""

from .errors import (
    ConnectionLostError,
    GeartrainError,
    JobException,
    JobFailed,
    JobLostError,
    NoServersError,
    ServerError,
    WaitTimeoutError,
)
from .worker import Job, Worker

__all__ = [
    "ConnectionLostError",
    "GeartrainError",
    "Job",
    "JobException",
    "JobFailed",
    "JobLostError",
    "NoServersError",
    "ServerError",
    "WaitTimeoutError",
    "Worker",
]
