"""The client's API, written once for both shells."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

from ..errors import ConnectionLostError, GeartrainError, JobException, NoServersError, UnknownJobError
from ..wire import packets as p
from ..wire.codec import arguments, bytes_of, leading_int
from .base import BaseClient
from .methods import call
from .record import TaskRecord, Workload
from .steps import Steps
from .task import JobStatus, Priority, Task

F = TypeVar("F")

RESULT_FUNCTION: Final = "geartrain.result"
# How a server's own exception ends that means "look elsewhere".
_NOT_HERE: Final = b"no job or kept result has this handle"


class Calls(BaseClient[F]):
    """What can be asked of a client. `Client` blocks in these calls, those of `AsyncClient` are awaited."""

    # Jobs

    @call
    def run(
        self,
        function: str,
        workload: Workload = b"",
        *,
        unique: str = "",
        priority: Priority | str = Priority.NORMAL,
        retry_count: int = 0,
        timeout: float | None = None,
        expires: float | None = None,
    ) -> Steps[bytes]:
        """Have a job done and return its result.

        Args:
            function: the name that workers announce, without the client's prefix.
            workload: what the worker gets; text travels as UTF-8.
            unique: jobs with the same function and unique coalesce: while one is queued or running, this
                call shares its result. `"-"` makes the workload itself the unique.
            priority: `"high"`, `"normal"` or `"low"`.
            retry_count: how many more times the job is submitted if it fails or ends with an exception.
            timeout: seconds that all of it may take; None leaves it to the client's `timeout`.
            expires: seconds after which the job expires on the server if no worker has taken it; only
                geartrain's server knows this, on others the job runs however late. None for never.

        Raises:
            JobFailed: the job failed; JobException: it ended with an exception, whose text this carries.
            ServerError: the server refused the job; `.code` holds its reason, such as `QUEUE_ERROR`.
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds have passed. A job that does not run yet is withdrawn, if the
                server is geartrain's; one that runs goes on.

        Data that the worker sends before its result is not kept; `submit` gives a future that has it.
        """
        limit = self._timeout if timeout is None else timeout
        # No more than its record, since nobody but the engine sees it.
        task = TaskRecord(function, workload, unique, priority, False, None, retry_count, limit, expires)
        return (yield from self._finish(task))

    @call
    def submit(
        self,
        function: str,
        workload: Workload = b"",
        *,
        unique: str = "",
        priority: Priority | str = Priority.NORMAL,
        retry_count: int = 0,
        timeout: float | None = None,
        expires: float | None = None,
        progress: bool = False,
    ) -> Steps[F]:
        """Send one foreground job and return a future for its result, without waiting for an answer.

        Waits only for a connection and until the job is on its way, so a slow server slows its clients down
        instead of filling their memory. For thousands of jobs a `TaskSet` is faster.

        Args:
            timeout: seconds that the job may take before the future ends with WaitTimeoutError.
            progress: while the future's result is waited for, show how far the worker says that it is, with a
                bar on standard error if that is a terminal.
            others: as for `run`.

        Raises:
            NoServersError: no server could be reached.
            WaitTimeoutError: the job could not even be sent within its or the client's `timeout`.

        Unless somebody asks one of the client's futures, nothing is read: do ask them in the end. When the
        client is closed, unfinished futures end with ClosedError.
        """
        task = Task(
            function, workload, unique=unique, priority=priority, retry_count=retry_count, timeout=timeout,
            expires=expires,
        )  # fmt: skip
        yield from self._send(task)
        return self._future(task, progress)

    @call
    def background(
        self,
        function: str,
        workload: Workload = b"",
        *,
        unique: str = "",
        priority: Priority | str = Priority.NORMAL,
        at: datetime | float | None = None,
        retry_count: int = 0,
        timeout: float | None = None,
        expires: float | None = None,
    ) -> Steps[str]:
        """Queue a job that nobody waits for; returns its handle once the server has acknowledged it.

        A server with a durable journal acknowledges a job when it is safe.

        Args:
            unique: while a job with the same function and unique is queued or running, no second one is
                made; the handle is that of the first.
            at: not before this time: a `datetime` (naive ones are local) or seconds since the epoch, rounded
                up to whole ones. Only with normal priority. SUBMIT_JOB_EPOCH.
            retry_count: how many more times it is submitted if the connection breaks before the server has
                acknowledged it. The default, 0, never queues a job twice.
            timeout: seconds that the acknowledgement may take; None leaves it to the client's `timeout`.
            others: as for `run`.

        Raises:
            ServerError: the server refused the job; `.code` holds its reason, such as `QUEUE_ERROR`.
            ConnectionLostError: the connection broke before the acknowledgement came, so the job may or may
                not be queued.
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds have passed; the job may or may not be queued.
        """
        task = Task(
            function, workload, unique=unique, priority=priority, background=True, at=at,
            retry_count=retry_count, timeout=self._timeout if timeout is None else timeout,
            expires=expires,
        )  # fmt: skip
        yield from self._finish(task)
        return task.handle

    @call
    def result(self, handle: str, timeout: float | None = None) -> Steps[bytes]:
        """Return the result of a background job, waiting for it if the job is not done yet.

        Only a Geartrain server can tell, and only of jobs whose function it is set to keep results of, for
        as long as it keeps them. All reachable servers are asked in turn.

        Args:
            handle: what `background` returned.
            timeout: seconds to wait at most; None leaves it to the client's `timeout`.

        Raises:
            JobFailed, JobException: the job ended like that.
            UnknownJobError: no server knows the handle, or has kept the result.
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds have passed; the job and its result are not affected.
        """
        deadline = self._deadline(timeout)
        error: GeartrainError | None = None
        reasons: dict[str, str] = {}
        router = self._engine.router
        for link in router.in_order(self._now()):
            if error is not None and router.skips(link, self._now()):
                continue
            left = None if deadline is None else max(deadline - self._now(), 0.0)
            task = Task(RESULT_FUNCTION, handle, timeout=left)
            try:
                return (yield from self._finish(task, link))
            except ConnectionLostError as lost:
                reasons[lost.server] = lost.reason
            except JobException as exception:
                if not exception.data.endswith(_NOT_HERE):
                    raise
                error = UnknownJobError(handle)
        raise error or NoServersError(reasons)

    # Questions

    @call
    def status(self, handle: str = "", *, unique: str = "", timeout: float | None = None) -> Steps[JobStatus]:
        """Ask how far a job is.

        Args:
            handle: what `background` returned.
            unique: instead of a handle, the unique that the job was submitted with; the answer then holds
                the number of waiting `clients`. gearmand and Geartrain can tell, older servers answer ERROR.
            timeout: seconds that it may take; None leaves it to the client's `timeout`.

        Returns:
            `known` is false if no server that can be reached knows the job, which is so when it is done.

        Raises:
            ServerError: the server does not know this question.
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds have passed.
        """
        if bool(handle) == bool(unique):
            raise ValueError("status: give either a handle or a unique")
        body = (unique or handle).encode("utf-8", "surrogateescape")
        ask = (
            (p.GET_STATUS_UNIQUE, body, p.STATUS_RES_UNIQUE) if unique else (p.GET_STATUS, body, p.STATUS_RES)
        )
        answer = yield from self._ask_around(ask, timeout, lambda answer: _status(ask[2], answer).known)
        return _status(ask[2], answer)

    @call
    def option(self, name: str, timeout: float | None = None) -> Steps[None]:
        """Set an option on this and all later connections. OPTION_REQ.

        `"exceptions"` is the only one there is, and it is on unless the client was made without.

        Raises:
            ServerError: the server does not know the option.
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds, or those of the client, have passed.
        """
        option = name.encode("utf-8", "surrogateescape")
        yield from self._ask_around((p.OPTION_REQ, option, p.OPTION_RES), timeout, lambda answer: False)
        if option not in self._engine.options:
            self._engine.options.append(option)

    @call
    def echo(self, data: Workload = b"", timeout: float | None = None) -> Steps[bytes]:
        """Send bytes to the server in use and return them as they come back: is it there? ECHO_REQ.

        Raises:
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds, or those of the client, have passed.
        """
        ask = (p.ECHO_REQ, bytes_of(data), p.ECHO_RES)
        return (yield from self._ask_around(ask, timeout, lambda answer: True))


def _status(type: int, body: bytes) -> JobStatus:
    """Read the body of STATUS_RES or STATUS_RES_UNIQUE."""
    _, *numbers = arguments(type, body)
    known, running, numerator, denominator, *clients = map(leading_int, numbers)
    return JobStatus(bool(known), bool(running), numerator, denominator, *clients)
