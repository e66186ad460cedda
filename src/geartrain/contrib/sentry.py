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
"""Seconds to send an event before the process exits."""


def report_errors(worker: Worker, *, workload: bool = False) -> None:
    """Report the errors of a worker's jobs.

    `JobFailed` and `JobException` are deliberate answers to the client and are not reported. Neither is a job
    lost with its server, since another worker does it.

    Args:
        worker: the worker to report on.
        workload: whether to attach the first 1,024 bytes of the workload, which may be confidential.
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
