"""The worker as a program writes it: its functions, and running until it is told to stop."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import structlog

from ..environment import default_servers
from ..errors import GeartrainError
from ..tls import reached_with
from ..wire.address import parse_address
from . import forks
from .aio.loop import CoroutineLoop
from .functions import Function, FunctionRegistry, FunctionSource
from .hooks import ErrorHook, Hook, Hooks, JobHook
from .job import Job
from .logs import keep_off_stdout
from .signals import StopAtOnce, stopped_by_signals
from .sync.loop import Loop
from .time_limits import TimeLimitWatchdog
from .typed import handler_of

if TYPE_CHECKING:
    from ..codecs import Codec

_log = structlog.get_logger("geartrain.worker")

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
HookT = TypeVar("HookT", bound=Hook)
JobHookT = TypeVar("JobHookT", bound=JobHook)
ErrorHookT = TypeVar("ErrorHookT", bound=ErrorHook)


class RunRefusedError(GeartrainError):
    """A worker was told to run while its module is imported for another program that will run it."""


_refusal = ""


@contextlib.contextmanager
def refuse_to_run(reason: str) -> Iterator[None]:
    """Have `Worker.run` and `run_async` raise `RunRefusedError` with this reason while the block runs."""
    global _refusal
    _refusal = reason
    try:
        yield
    finally:
        _refusal = ""


def _require_to_run() -> None:
    if _refusal:
        raise RunRefusedError(_refusal)


class Worker:
    """Do the jobs of functions, for all job servers at once.

    ```python
    worker = Worker("127.0.0.1:4730")

    @worker.function("reverse")
    def reverse(job):
        return job.workload[::-1]

    worker.run()
    ```

    A handler is called with a `Job`, one job at a time. Its result is bytes, text (sent as UTF-8) or None (an
    empty result). It may be a coroutine function; its coroutines run on one event loop.
    A function with annotated parameters is called with arguments instead and returns a value, see `register`.

    - `JobFailed` raised in a handler fails the job without a reason (WORK_FAIL).
    - Any other exception ends the job as an exception (WORK_EXCEPTION). The client is told its message, the
      worker's log has the traceback. The message stands alone (``division by zero``), as clients in other
      languages expect it; only where it is empty, or the key of a KeyError, the type is told with it.
    - `JobException` raised in a handler tells the client exactly its `data`, text or bytes.
    - A result of another type ends the job as an exception that names the type.
    - Only KeyboardInterrupt ends the worker; with SystemExit and any other BaseException the job fails.

    A process that a handler forks has no connection to the job servers: `job.data` and the like raise
    `JobLostError` in it, and the handler's return or exception ends it. It ends when the worker does.

    The worker is connected to all its servers at the same time and takes turns between those that have jobs.
    One that cannot be reached is tried again, after pauses that grow to 10 seconds, while the worker goes on
    with the others. A server that accepts connections but has stopped answering is noticed within a minute
    while the worker waits for jobs. While a handler runs the connection just waits: if it breaks, the job's
    next event raises `JobLostError`, or its result is dropped. Its server gives the job to another worker.

    Args:
        servers: addresses of the job servers: `"host"`, `"host:port"`, `"[::1]:4730"` or `"unix:/path"`, or
            several of these. The default port is 4730. Without them those in `GEARMAN_SERVERS` (separated by
            commas), or the server on this machine.
        client_id: name of this worker in the servers' lists (`geartrain workers`, `gearadmin --workers`). By
            default the host's name and the process id, as in ``host-4711``.
        prefix: prefix of every function's name, followed by a tab, as in the other libraries. Clients use the
            same prefix.
        tls: TLS context, see `tls_context`. A server that is written `tls:host:port` needs none.
        token: token for servers with access rules, by default `GEARTRAIN_TOKEN`.
        connect_timeout: seconds for one attempt to connect to a server.
    """

    def __init__(
        self,
        servers: str | Sequence[str] | None = None,
        *,
        client_id: str = "",
        prefix: str = "",
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
        connect_timeout: float = 5.0,
    ) -> None:
        self._tls = tls
        self._token = token
        self.servers = default_servers() if servers is None else servers
        if any(character.isspace() or character == "\0" for character in client_id):
            raise ValueError(f"a client id may not hold spaces, the servers list it in a line: {client_id!r}")
        self._client_id = client_id
        self._connect_timeout = connect_timeout
        self._functions = FunctionRegistry(prefix)
        self._hooks = Hooks()
        # In a process of `geartrain work`: the watchdog for handlers past their time limit.
        self._watch: TimeLimitWatchdog | None = None
        # `run` may be called in several threads; each has its own loop. Without a lock, for signal handlers:
        # each operation on the list is atomic.
        self._loops: list[Loop | CoroutineLoop] = []
        self._stopped = False
        # The loop of `work_one`.
        self._one: Loop | None = None

    @property
    def servers(self) -> Sequence[str]:
        """Addresses of the job servers. They may be set before the worker runs."""
        return tuple(map(str, self._addresses))

    @servers.setter
    def servers(self, servers: str | Sequence[str]) -> None:
        texts = [servers] if isinstance(servers, str) else list(servers)
        if not texts:
            raise ValueError("a worker needs a job server to work for, none is given")
        self._addresses = list(
            dict.fromkeys(reached_with(parse_address(text), self._tls, self._token) for text in texts)
        )

    # Functions

    @property
    def functions(self) -> Sequence[str]:
        """Names of the registered functions, without the worker's prefix."""
        return tuple(function.name for function in self._functions.table.values())

    def handler(self, name: str) -> Callable[[Job], Any] | None:
        """Return the handler of a function, None if no function has this name."""
        for function in self._functions.table.values():
            if function.name == name:
                return function.handler
        return None

    @overload
    def function(self, name: FunctionT) -> FunctionT: ...
    @overload
    def function(
        self,
        name: str = "",
        *,
        timeout: float | None = None,
        time_limit: float | None = None,
        codec: Codec | None = None,
    ) -> Callable[[FunctionT], FunctionT]: ...
    def function(
        self,
        name: str | FunctionT = "",
        *,
        timeout: float | None = None,
        time_limit: float | None = None,
        codec: Codec | None = None,
    ) -> FunctionT | Callable[[FunctionT], FunctionT]:
        """Register the decorated function, by default under its own name.

        `@worker.function`, `@worker.function("resize", timeout=30)`. The arguments are those of `register`.
        """

        given = name if isinstance(name, str) else ""

        def register(function: FunctionT) -> FunctionT:
            own = getattr(function, "__name__", "")
            self.register(given or own, function, timeout=timeout, time_limit=time_limit, codec=codec)
            return function

        return register if isinstance(name, str) else register(name)

    def register(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        timeout: float | None = None,
        time_limit: float | None = None,
        codec: Codec | None = None,
    ) -> None:
        """Register a function. A running worker announces it to its servers at once.

        It replaces a function of the same name.

        Args:
            name: the function's name, without the worker's prefix.
            function: a *raw* one is called with each `Job`; see the class. A *typed* one is called with the
                arguments that its annotations declare, and with the job before them if its first parameter is
                annotated `Job`. It is raw if it can be called with a job alone and annotates nothing else.
            timeout: seconds that a job may take, rounded up to milliseconds (CAN_DO_TIMEOUT). When they are
                over the server gives the job to another worker. This handler is not stopped; once another
                worker has the job, its next event raises `JobLostError` and its result is dropped. gearmand
                and Geartrain make it one second at least; Gearman::Server takes the milliseconds for seconds.
                None: no limit.
            time_limit: seconds after which the job fails: its client is told the `TimeLimitError`. A
                coroutine is broken off wherever it awaits something. A plain function can't be; its limit
                holds in `geartrain work`, which ends the process and starts another. None: no limit.
            codec: how a typed function's arguments and result travel, JSON unless another is given. Giving
                one makes the function typed.

        Raises:
            TypeError: a typed function's parameters or annotations are not of a kind that can travel.
        """
        self._functions.add(Function(name, handler_of(name, function, codec), timeout, time_limit))
        self._wake()

    def unregister(self, name: str) -> None:
        """Remove a function. A running worker withdraws it from its servers at once (CANT_DO).

        A job of it that is running, or was just assigned, is still done.

        Raises:
            KeyError: no function of this name is registered.
        """
        self._functions.remove(name)
        self._wake()

    # Hooks

    def on_start(self, hook: HookT) -> HookT:
        """Call a function before the first job, once in each process, to connect to a database for example.

        A coroutine function is called on each event loop that runs coroutines. An exception ends the worker
        before it has announced anything. Like all hooks this is used as a decorator.
        """
        self._hooks.start.append(hook)
        return hook

    def on_stop(self, hook: HookT) -> HookT:
        """Call a function after the last job, but not when the worker stops at once."""
        self._hooks.stop.append(hook)
        return hook

    def before_job(self, hook: JobHookT) -> JobHookT:
        """Call a plain function with each `Job` before its handler, in its thread or on its event loop.

        An exception ends the job.
        """
        self._hooks.before.append(hook)
        return hook

    def after_job(self, hook: JobHookT) -> JobHookT:
        """Call a plain function with each ended `Job`, before its end is sent.

        An exception is logged, as with `on_error`.
        """
        self._hooks.after.append(hook)
        return hook

    def on_error(self, hook: ErrorHookT) -> ErrorHookT:
        """Call a plain function with each failed `Job` and its exception.

        That may be a `JobFailed` or `JobException`, which a handler raises on purpose. After a
        `TimeLimitError` of a plain function it is called on another thread, and `after_job` is not.
        """
        self._hooks.error.append(hook)
        return hook

    # Working

    def run(self, max_jobs: int | None = None) -> int:
        """Do jobs until told to stop; return their number.

        In the main thread SIGTERM, SIGINT and SIGHUP stop it: the first signal after the running job, a
        second one at once, with `SystemExit`; the server then gives the job to another
        worker. A SIGHUP never counts as the second one. In any thread `stop` stops it. It may run in several
        threads at once: each has its own connections.

        Args:
            max_jobs: stop after so many jobs. None: go on.
        """
        _require_to_run()
        if max_jobs is not None and max_jobs < 0:
            raise ValueError(f"max_jobs is a number of jobs, not {max_jobs}")
        if not self._functions.table:
            _log.warning("the worker has no function yet, so there is no job for it")
        loop = self._new_loop()
        try:
            with stopped_by_signals(loop.stop):
                return self._run(loop, math.inf if max_jobs is None else max_jobs)
        except StopAtOnce as stop:
            raise SystemExit(128 + stop.number) from None

    async def run_async(self, concurrency: int = 100, max_jobs: int | None = None) -> int:
        """Do jobs on the running event loop, many at a time; return their number.

        There is one connection for each server. A coroutine function's jobs run beside each other; those of a
        plain function have a thread each, so they block nothing.

        A server that took a job away does not name it in its error. So with several running jobs
        `JobLostError` is raised only in the handler of a job that was assigned here again.

        `stop` stops it when the jobs in hand are done. Cancelling it stops it at once: the handlers are
        cancelled, and the servers give their jobs to other workers. Signals are the program's business.

        Args:
            concurrency: jobs that are done at a time, at most.
            max_jobs: stop after so many jobs. None: go on.
        """
        _require_to_run()
        if concurrency < 1:
            raise ValueError(f"concurrency is one job or more at a time, not {concurrency}")
        if max_jobs is not None and max_jobs < 0:
            raise ValueError(f"max_jobs is a number of jobs, not {max_jobs}")
        return await self._run_async(
            self._new_coroutine_loop(self._functions, concurrency, math.inf if max_jobs is None else max_jobs)
        )

    def work_one(self, timeout: float | None = None) -> bool:
        """Wait for one job and do it; return whether there was one.

        The connections stay open for the next call; `close` closes them.

        Args:
            timeout: seconds to wait for a job to begin. None: wait until there is one, or `stop` is called.
        """
        loop = self._one
        if loop is None:
            loop = self._new_loop()
            self._start(loop)
            self._one = loop
        try:
            return loop.run(1, math.inf if timeout is None else timeout) == 1
        except BaseException:
            # A job may be in hand: only closing the connection gives it back.
            self._one = None
            self._end(loop, at_once=True)
            raise

    def stop(self) -> None:
        """Make `run` and `work_one` return after the running job, and later calls at once.

        Any thread, function of this worker or signal handler may call it.
        """
        self._stopped = True
        for loop in tuple(self._loops):
            loop.stop()

    def close(self) -> None:
        """Close the connections of `work_one`."""
        loop, self._one = self._one, None
        if loop is not None:
            self._end(loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Loops

    def _new_loop(self, functions: FunctionSource | None = None) -> Loop:
        loop = Loop(
            self._addresses,
            functions or self._functions,
            self._listed_as,
            self._connect_timeout,
            self._hooks,
            self._watch,
        )
        self._add(loop)
        return loop

    def _new_coroutine_loop(
        self, functions: FunctionSource, concurrency: int, max_jobs: float = math.inf
    ) -> CoroutineLoop:
        loop = CoroutineLoop(
            self._addresses,
            functions,
            self._listed_as,
            self._connect_timeout,
            self._hooks,
            self._watch,
            concurrency,
            max_jobs,
        )
        self._add(loop)
        return loop

    @property
    def _listed_as(self) -> str:
        return self._client_id or f"{socket.gethostname()}-{os.getpid()}"

    def _add(self, loop: Loop | CoroutineLoop) -> None:
        keep_off_stdout()
        # In this order: whoever stops the worker now either finds the loop or has left word.
        self._loops.append(loop)
        forks.hold(loop)
        if self._stopped:
            loop.stop()

    def _run(self, loop: Loop, max_jobs: float = math.inf) -> int:
        self._start(loop)
        at_once = True
        try:
            done = loop.run(max_jobs)
            at_once = False
            return done
        finally:
            self._end(loop, at_once)

    def _start(self, loop: Loop) -> None:
        try:
            self._hooks.started()
            try:
                loop.start()
            except BaseException:
                self._hooks.stopped(at_once=True)
                raise
        except BaseException:
            self._part_from(loop)
            loop.close(at_once=True)
            forks.release(loop)
            raise

    def _end(self, loop: Loop, at_once: bool = False) -> None:
        self._part_from(loop)
        try:
            loop.close(at_once)
            self._hooks.stopped(at_once)
        finally:
            forks.release(loop)

    async def _run_async(self, loop: CoroutineLoop) -> int:
        at_once = True
        try:
            self._hooks.started()
            try:
                await self._hooks.started_loop()
                done = await loop.run()
                at_once = False
                await self._hooks.stopped_loop()
                return done
            finally:
                self._hooks.stopped(at_once)
        finally:
            self._part_from(loop)
            forks.release(loop)

    def _part_from(self, loop: Loop | CoroutineLoop) -> None:
        self._loops.remove(loop)

    def _wake(self) -> None:
        for loop in tuple(self._loops):
            loop.wake()


__all__ = ["Job", "Worker"]
