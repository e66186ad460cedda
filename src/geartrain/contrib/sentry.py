"""Errors of jobs in Sentry: `pip install 'geartrain[sentry]'`.

sentry_sdk.init(...)
report_errors(worker)
"""

from __future__ import annotations

from typing import Final

import sentry_sdk

from ..errors import JobException, JobFailed, JobLostError, TimeLimitError
from ..worker import Job, Worker

FLUSH_WITHIN: Final = 2.0
"""Seconds that an event may take to be sent where the process ends right after it."""


def report_errors(worker: Worker, *, workload: bool = False) -> None:
    """Report what a worker's jobs end with, if not well.

    What a handler raises on purpose (`JobFailed`, `JobException`) is an answer to the client, and not
    reported; neither is a job that was lost with its server, since another worker does it.

    Args:
        worker: whose errors are reported.
        workload: send the job's workload along (its beginning), which may hold what is nobody's business.
    """

    @worker.on_error
    def report(job: Job, error: BaseException) -> None:
        if isinstance(error, JobFailed | JobException | JobLostError):
            return
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("gearman.function", job.function)
            known = {"function": job.function, "handle": job.handle, "unique": job.unique}
            if workload:
                known["workload"] = job.workload[:1024].decode("utf-8", "replace")
            scope.set_context("gearman job", known)
            scope.set_transaction_name(job.function)
            sentry_sdk.capture_exception(error)
        if isinstance(error, TimeLimitError):
            sentry_sdk.flush(FLUSH_WITHIN)
