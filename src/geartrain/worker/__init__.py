"""Programs that do the jobs: functions announced to every job server, and the loop that grabs their jobs."""

from .job import Job
from .outcome import current_job
from .worker import Worker

__all__ = ["Job", "Worker", "current_job"]
