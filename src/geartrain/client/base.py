"""What a client is made of, for both shells: its engine, its deadlines, and what its calls have in common."""

from __future__ import annotations

import ssl
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Literal, TypeVar

from ..environment import default_servers
from ..errors import ClosedError, ConnectionLostError, GeartrainError, NoServersError, WaitTimeoutError
from ..tls import reached_with
from ..units import require_seconds
from ..wire.address import parse_address
from .engine import Engine
from .inquiry import ASK_BEFORE
from .link import Link, Question
from .record import TaskRecord
from .states import NEW, WAITING, TaskState
from .steps import Steps, Wait
from .task import Task

F = TypeVar("F")


class BaseClient(ABC, Generic[F]):
    """What `Client` and `AsyncClient` have in common: everything but how they wait.

    Args:
        servers: where the job servers are: one or more of `"host"`, `"host:port"`, `"[::1]:4730"` or
            `"unix:/path"`. The default port is 4730. Without them those in `GEARMAN_SERVERS` (separated by
            commas), or the server on this machine.
        route: what several servers are for. With `"failover"` the client works with one, the first that can
            be reached, and moves to another when that fails. With `"unique"` it works with all of them: a
            task with a unique goes to the live server that its function and unique hash to, so that tasks
            coalesce although the servers know nothing of each other; tasks without one take turns.
        prefix: put before every function's name, with a tab between them, as other Gearman libraries do:
            with `"test"` the task `sleep` is for workers of `test\\tsleep`.
        tls: speak TLS with this, see `tls_context`. A server that is written `tls:host:port` needs none.
        token: what to send to servers whose access rules ask for one; `GEARTRAIN_TOKEN` unless given.
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
        servers: str | Iterable[str] | None = None,
        *,
        route: Literal["failover", "unique"] = "failover",
        prefix: str = "",
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
        exceptions: bool = True,
        connect_timeout: float = 5.0,
        timeout: float | None = None,
        probe_interval: float = 15.0,
        probe_timeout: float = 15.0,
    ) -> None:
        if servers is None:
            servers = default_servers()
        names = [servers] if isinstance(servers, str) else list(servers)
        addresses = list(dict.fromkeys(reached_with(parse_address(name), tls, token) for name in names))
        if not addresses:
            raise ValueError("a client needs at least one server")
        if route not in ("failover", "unique"):
            raise ValueError(f"{route!r}: the route is 'failover' or 'unique'")
        if "\0" in prefix:
            raise ValueError(f"{prefix!r}: a prefix holds no NUL")
        require_seconds(connect_timeout, timeout, probe_interval, probe_timeout)
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
        self.context: Callable[[str], Mapping[str, str]] | None = None
        """Called with the name of a typed function for each of its calls: what it returns travels around the
        arguments."""
        self._prepare()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self.servers)}>"

    # What the calls are made of. They run where the shell has made sure that nobody else is at the engine.

    def _finish(self, task: TaskRecord, link: Link | None = None) -> Steps[bytes]:
        """Submit a task, wait for its end, and return its result or raise its failure.

        In the background its end is the acknowledgement, and its result empty.
        """
        wait = Wait(task)
        self._engine.submit(task, self._now(), link)
        try:
            while not task.done:
                yield wait
        except BaseException:
            self._engine.abandon(task, self._now())
            raise
        if task.failure is not None:
            raise task.failure
        if task.background:
            return b""
        assert task.result is not None
        return task.result

    def _send(self, task: Task) -> Steps[None]:
        """Submit a task for a future and wait until it is on its way."""
        task._observe()
        self._engine.submit(task, self._now())
        deadline = self._deadline(task.timeout)
        try:
            while task.state is WAITING:
                if self._passed(deadline):
                    raise self._engine.timed_out(f"{task.function}: not sent in time", task, self._now())
                yield Wait(task, deadline, sending=True)
        except BaseException:
            self._engine.abandon(task, self._now())
            raise
        if isinstance(task.failure, (NoServersError, WaitTimeoutError)):
            raise task.failure

    def _ask_around(
        self, ask: tuple[int, bytes, int], timeout: float | None, is_enough: Callable[[bytes], bool]
    ) -> Steps[bytes]:
        """Put a question to one server after the other until an answer is enough; returns the last.

        Args:
            ask: the type and the body of the packet, and the type of its answer.
        """
        deadline = self._deadline(timeout)
        router = self._engine.router
        answer: bytes | None = None
        reasons: dict[str, str] = {}
        for link in router.in_order(self._now()):
            if answer is not None and is_enough(answer):
                break
            if answer is not None and router.skips(link, self._now()):
                continue
            question = Question(*ask)
            self._engine.ask(link, question, self._now())
            while not question.done:
                yield from self._wait(question, deadline, "no answer")
            if isinstance(question.failure, ConnectionLostError):
                reasons[question.failure.server] = question.failure.reason
            elif question.failure is not None:
                raise question.failure
            else:
                answer = question.result
        if answer is None:
            raise NoServersError(reasons)
        return answer

    def _wait(self, watched: Task | Question, deadline: float | None, what: str) -> Steps[None]:
        """Wait for a change; WaitTimeoutError after the deadline."""
        if self._passed(deadline):
            if isinstance(watched, Task):
                raise self._engine.timed_out(f"{what} in time", watched, self._now())
            raise WaitTimeoutError(f"{what} in time")
        if isinstance(watched, Task):
            deadline = self._before(deadline, [watched])
        yield Wait(watched, deadline)

    def _before(self, deadline: float | None, tasks: Iterable[TaskRecord]) -> float | None:
        """When to look next: a moment before a deadline the servers are asked why these tasks are late."""
        if deadline is None:
            return None
        now = self._now()
        if now < deadline - ASK_BEFORE:
            return deadline - ASK_BEFORE
        if now < deadline:
            for task in tasks:
                self._engine.inquire(task, now)
        return deadline

    def _submit_all(self, new: deque[Task]) -> None:
        """Submit tasks. Each is taken out once it was submitted: nothing is forgotten if that raises."""
        now = self._now()
        while new:
            if new[0].state is NEW:
                self._engine.submit(new[0], now)
            new.popleft()

    def _deadline(self, timeout: float | None) -> float | None:
        if timeout is None:
            timeout = self._timeout
        if timeout is None:
            return None
        require_seconds(timeout)
        return self._now() + timeout

    def _passed(self, deadline: float | None) -> bool:
        return deadline is not None and self._now() >= deadline

    _now = staticmethod(time.monotonic)

    def _outcome(self, task: TaskRecord) -> bytes:
        """The result of a task that has ended, or its failure raised."""
        failure = self._failure(task)
        if failure is not None:
            raise failure
        assert task.result is not None
        return task.result

    def _failure(self, task: TaskRecord) -> GeartrainError | None:
        if task.state is TaskState.CANCELLED:
            return ClosedError("nobody waits for this job any more: its future was cancelled")
        return task.failure

    def _cancel(self, task: Task) -> bool:
        """Abandon a task; whether it had not ended."""
        if not task._handle and not task.done:
            # Its handle may have come, by which the job is withdrawn.
            self._look()
        with self._guard():
            if task.done:
                return False
            self._engine.abandon(task, self._now())
            self._wake_waiters()
            self._wake_leader()
            return True

    # What each shell has of its own

    @abstractmethod
    def _prepare(self) -> None:
        """What comes before every call."""

    @abstractmethod
    def _future(self, task: Task, progress: bool) -> F:
        """The future of a task that was submitted."""

    @abstractmethod
    def _guard(self) -> AbstractContextManager[object]:
        """What keeps others from the engine meanwhile."""

    @abstractmethod
    def _wake_waiters(self) -> None:
        """See to those in the engine's news."""

    @abstractmethod
    def _wake_leader(self) -> None:
        """See to whoever waits for the sockets: it may have nothing to wait for any more."""

    @abstractmethod
    def _look(self) -> None:
        """Take in what has come, without waiting."""
