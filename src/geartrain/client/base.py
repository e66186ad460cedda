"""The client's API, written once for both shells."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

from ..errors import (
    ClosedError,
    ConnectionLostError,
    GeartrainError,
    JobException,
    MalformedPacketError,
    NoServersError,
    WaitTimeoutError,
)
from ..wire import packets as p
from ..wire.address import parse_address
from ..wire.codec import arguments
from .engine import Engine
from .link import Link, Question
from .steps import Steps, Wait, call
from .task import WAITING, JobStatus, Priority, Task, TaskState, Workload

F = TypeVar("F")

RESULT_FUNCTION: Final = "geartrain.result"
# How a server's own exception ends that means "look elsewhere".
_NOT_HERE: Final = b"no job or kept result has this handle"


class BaseClient(Generic[F]):
    """What `Client` and `AsyncClient` have in common: everything but how they wait.

    Args:
        servers: where the job servers are: one or more of `"host"`, `"host:port"`, `"[::1]:4730"` or
            `"unix:/path"`. The port is 4730 unless it is given.
        route: what several servers are for. With `"failover"` the client works with one, the first that can
            be reached, and moves to another when that fails. With `"unique"` it works with all of them: a
            task with a unique goes to the live server that its function and unique hash to, so that tasks
            coalesce although the servers know nothing of each other; tasks without one take turns.
        prefix: put before every function's name, with a tab between them, as other Gearman libraries do:
            with `"test"` the task `sleep` is for workers of `test\\tsleep`.
        exceptions: have the servers tell of a worker's exceptions; else such a job just fails.
        connect_timeout: seconds that connecting to one server may take.
        timeout: seconds that `run`, `background`, `status` and the other calls that wait may take, unless
            they are told otherwise. None is no limit.
        probe_interval: seconds of silence from a server that owes an answer or a result, after which it is
            sent an ECHO to see whether it is still there.
        probe_timeout: seconds that it has for the answer, before the connection is given up.

    Raises:
        ValueError: an address or another argument makes no sense; the message says why.

    Nothing is connected before something is asked for. A server that can't be reached is avoided for a
    while, from one second up to thirty. When a connection breaks, or a server has been silent for
    `probe_interval` and then for `probe_timeout`, the foreground jobs that were not finished are submitted
    again, to the next server, without the caller being told. So a worker may run a job twice, as it may in
    any Gearman system. A background job whose acknowledgement was lost may or may not be queued; it is
    submitted again only if its `retry_count` allows that.
    """

    def __init__(
        self,
        servers: str | Iterable[str] = "127.0.0.1:4730",
        *,
        route: Literal["failover", "unique"] = "failover",
        prefix: str = "",
        exceptions: bool = True,
        connect_timeout: float = 5.0,
        timeout: float | None = None,
        probe_interval: float = 15.0,
        probe_timeout: float = 15.0,
    ) -> None:
        names = [servers] if isinstance(servers, str) else list(servers)
        addresses = list(dict.fromkeys(map(parse_address, names)))
        if not addresses:
            raise ValueError("a client needs at least one server")
        if route not in ("failover", "unique"):
            raise ValueError(f"{route!r}: the route is 'failover' or 'unique'")
        if "\0" in prefix:
            raise ValueError(f"{prefix!r}: a prefix holds no NUL")
        self.servers: Sequence[str] = tuple(map(str, addresses))
        """The servers' addresses, in the order in which they are preferred."""
        self._timeout = timeout
        self._shell: Any = self
        self._engine = Engine(
            addresses,
            by_unique=route == "unique",
            prefix=f"{prefix}\t".encode("utf-8", "surrogateescape") if prefix else b"",
            options=[b"exceptions"] if exceptions else [],
            connect_timeout=connect_timeout,
            probe_interval=probe_interval,
            probe_timeout=probe_timeout,
            wall_offset=time.time() - time.monotonic(),
        )
        self._prepare()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self.servers)}>"

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

        Raises:
            JobFailed: the job failed; JobException: it ended with an exception, whose text this carries.
            ServerError: the server refused the job; `.code` holds its reason, such as `QUEUE_ERROR`.
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds have passed. The job may go on; nobody waits for it.

        Data that the worker sends before its result is not kept; `submit` gives a future that has it.
        """
        task = Task(
            function, workload, unique=unique, priority=priority, retry_count=retry_count,
            timeout=self._timeout if timeout is None else timeout,
        )  # fmt: skip
        yield from self._finish(task)
        return self._outcome(task)

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
    ) -> Steps[F]:
        """Send one foreground job and return a future for its result, without waiting for an answer.

        Waits only for a connection and until the job is on its way, so a slow server slows its clients down
        instead of filling their memory. For thousands of jobs a `TaskSet` is faster.

        Args:
            timeout: seconds that the job may take before the future ends with WaitTimeoutError.
            others: as for `run`.

        Raises:
            NoServersError: no server could be reached.
            WaitTimeoutError: the job could not even be sent within its or the client's `timeout`.

        Unless somebody asks one of the client's futures, nothing is read: do ask them in the end. When the
        client is closed, unfinished futures end with ClosedError.
        """
        task = Task(
            function, workload, unique=unique, priority=priority, retry_count=retry_count, timeout=timeout
        )
        task._chunks = deque()
        self._engine.submit(task, self._now())
        deadline = self._deadline(timeout)
        try:
            while task.state is WAITING:
                if self._passed(deadline):
                    raise WaitTimeoutError(f"{function}: not sent in time")
                yield Wait(task, deadline, sending=True)
        except BaseException:
            self._engine.abandon(task, self._now())
            raise
        if isinstance(task.failure, NoServersError):
            raise task.failure
        return self._future(task)

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
            JobFailed, JobException: the job ended like that; or no server knows the handle, or none has kept
                the result, which is a JobException that says so.
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds have passed; the job and its result are not affected.
        """
        deadline = self._deadline(timeout)
        error: GeartrainError | None = None
        reasons: dict[str, str] = {}
        for link in self._engine.router.reachable(self._now()):
            left = None if deadline is None else max(deadline - self._now(), 0.0)
            task = Task(RESULT_FUNCTION, handle, timeout=left)
            try:
                yield from self._finish(task, link)
                return self._outcome(task)
            except ConnectionLostError as lost:
                reasons[lost.server] = lost.reason
            except JobException as exception:
                if not exception.data.endswith(_NOT_HERE):
                    raise
                error = exception
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
        type, answer = (p.GET_STATUS_UNIQUE, p.STATUS_RES_UNIQUE) if unique else (p.GET_STATUS, p.STATUS_RES)
        asked_for = (unique or handle).encode("utf-8", "surrogateescape")
        deadline = self._deadline(timeout)
        found: JobStatus | None = None
        reasons: dict[str, str] = {}
        for link in self._engine.router.reachable(self._now()):
            try:
                body = yield from self._answer(link, Question(type, asked_for, answer), deadline)
            except ConnectionLostError as lost:
                reasons[lost.server] = lost.reason
                continue
            status = _status(answer, body)
            if status.known:
                return status
            found = found or status
        if found is None:
            raise NoServersError(reasons)
        return found

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
        deadline = self._deadline(timeout)
        reasons: dict[str, str] = {}
        answered = False
        for link in self._engine.router.reachable(self._now()):
            try:
                yield from self._answer(link, Question(p.OPTION_REQ, option, p.OPTION_RES), deadline)
                answered = True
            except ConnectionLostError as lost:
                reasons[lost.server] = lost.reason
        if not answered:
            raise NoServersError(reasons)
        if option not in self._engine.options:
            self._engine.options.append(option)

    @call
    def echo(self, data: Workload = b"", timeout: float | None = None) -> Steps[bytes]:
        """Send bytes to the server in use and return them as they come back: is it there? ECHO_REQ.

        Raises:
            NoServersError: no server could be reached.
            WaitTimeoutError: `timeout` seconds, or those of the client, have passed.
        """
        body = data.encode() if isinstance(data, str) else bytes(data)
        deadline = self._deadline(timeout)
        reasons: dict[str, str] = {}
        for link in self._engine.router.reachable(self._now()):
            try:
                return (yield from self._answer(link, Question(p.ECHO_REQ, body, p.ECHO_RES), deadline))
            except ConnectionLostError as lost:
                reasons[lost.server] = lost.reason
        raise NoServersError(reasons)

    # What the calls are made of. They run where the shell has made sure that nobody else is at the engine.

    def _finish(self, task: Task, link: Link | None = None) -> Steps[None]:
        """Submit a task and wait for its end; its failure is raised."""
        self._engine.submit(task, self._now(), link)
        wait = Wait(task)
        try:
            while not task.done:
                yield wait
        except BaseException:
            self._engine.abandon(task, self._now())
            raise
        if task.failure is not None:
            raise task.failure

    def _answer(self, link: Link, question: Question, deadline: float | None) -> Steps[bytes]:
        """Put a question to one server and wait for the answer."""
        self._engine.ask(link, question, self._now())
        while not question.done:
            yield from self._wait(question, deadline, "no answer")
        if question.failure is not None:
            raise question.failure
        return question.result

    def _wait(self, watched: Task | Question, deadline: float | None, what: str) -> Steps[None]:
        """Wait for a change; WaitTimeoutError after the deadline."""
        if self._passed(deadline):
            raise WaitTimeoutError(f"{what} in time")
        yield Wait(watched, deadline)

    def _submit_all(self, tasks: Iterable[Task]) -> None:
        now = self._now()
        for task in tasks:
            self._engine.submit(task, now)

    def _deadline(self, timeout: float | None) -> float | None:
        if timeout is None:
            timeout = self._timeout
        return None if timeout is None else self._now() + timeout

    def _passed(self, deadline: float | None) -> bool:
        return deadline is not None and self._now() >= deadline

    def _now(self) -> float:
        return time.monotonic()

    def _outcome(self, task: Task) -> bytes:
        """The result of a task that has ended, or its failure raised."""
        failure = self._failure(task)
        if failure is not None:
            raise failure
        assert task.result is not None
        return task.result

    def _failure(self, task: Task) -> GeartrainError | None:
        if task.state is TaskState.CANCELLED:
            return ClosedError("nobody waits for this job any more: its future was cancelled")
        return task.failure

    def _cancel(self, task: Task) -> bool:
        """Abandon a task; whether it had not ended."""
        with self._guard():
            if task.done:
                return False
            self._engine.abandon(task, self._now())
            self._wake_waiters()
            return True

    # What each shell has of its own

    def _prepare(self) -> None:
        raise NotImplementedError

    def _future(self, task: Task) -> F:
        raise NotImplementedError

    def _guard(self) -> AbstractContextManager[object]:
        """What keeps others from the engine meanwhile."""
        raise NotImplementedError

    def _wake_waiters(self) -> None:
        """See to those in the engine's news."""
        raise NotImplementedError

    def _look(self) -> None:
        """Take in what has come, without waiting."""
        raise NotImplementedError


def _status(type: int, body: bytes) -> JobStatus:
    _, *numbers = arguments(type, body)
    try:
        known, running, numerator, denominator, *clients = map(int, numbers)
    except ValueError:
        raise MalformedPacketError(f"not a job's status: {body!r}") from None
    return JobStatus(bool(known), bool(running), numerator, denominator, *clients)
