"""Processes that a handler forks: they give up the worker's sockets, and end with the handler and the worker.

A forked process is a copy of the worker in the middle of a job. Left alone it would report the job a second
time, grab jobs on its parent's connection, and keep that connection open after its parent's end. So in the
child:

- every registered socket is replaced by the null device at once, whichever thread forked;
- the handler's return or exception ends the process, see `end`;
- signals have the handlers again that they had before the worker ran;
- a process that was forked by a job ends when its worker does, however the worker ends.

The worker reaps the children that a handler has left behind unreaped.

A program that is to outlive the worker is started with `subprocess` in a session of its own.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import select
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Never, Protocol

import structlog

from ..sockets import give_up
from .job import Job, current

FORKED: Final = "this process was forked from the worker's"
"""Reason of `JobLostError` in a forked process."""

REAP_EVERY: Final = 0.1
"""Seconds between two looks at children that no handler waits for any more."""
_BIRTH: Final = struct.Struct("@iN")
"""A child's process id, and the identity of the job that forked it."""

generation = 0
"""Forks between this process and the first one: a handler that sees it change has become a child."""

_log = structlog.get_logger("geartrain.worker")


class Holder(Protocol):
    """Owner of descriptors that belong to the parent alone."""

    def forked(self) -> Iterable[int]:
        """In a forked child: never use the connections again; return the descriptors to give up."""


class _Lifeline:
    """A pipe whose write end the worker's process holds alone: its end is the worker's end."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def close(self) -> None:
        """End the processes that hold on to it."""
        os.close(self.reader)
        os.close(self._writer)

    def forked(self) -> None:
        """In a child: keep the read end only."""
        os.close(self._writer)


class _Reaper:
    """Reaps children of handlers that have returned; until then they are the handlers' own to wait for."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        # Jobs that have forked and still run, by their identities, which are the same in the child.
        self._forking: set[int] = set()
        threading.Thread(target=self._run, name="geartrain reaps", daemon=True).start()

    def begin(self, job: Job) -> None:
        """In the parent: a job has forked."""
        self._forking.add(id(job))

    def ended(self, job: Job) -> None:
        """Take a job's children over."""
        self._forking.discard(id(job))

    def announce(self, job: Job | None) -> None:
        """In the child: tell the parent which process this is."""
        if job is not None:
            with contextlib.suppress(OSError):
                os.write(self._writer, _BIRTH.pack(os.getpid(), id(job)))
        os.close(self._writer)
        os.close(self._reader)

    def _run(self) -> None:
        children: dict[int, int] = {}
        births = select.poll()
        births.register(self._reader, select.POLLIN)
        while True:
            if births.poll(REAP_EVERY * 1000 if children else None):
                children.update(_BIRTH.iter_unpack(os.read(self._reader, 64 * _BIRTH.size)))
            for pid, job in list(children.items()):
                if job not in self._forking and _is_reaped(pid):
                    del children[pid]


def _is_reaped(pid: int) -> bool:
    # A process of multiprocessing keeps its exit code for whoever still has it.
    for process in tuple(getattr(sys.modules.get("multiprocessing.process"), "_children", ())):
        if process.pid == pid:
            process.join(0)
            return process.exitcode is not None
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


_reaper: _Reaper | None = None
_holders: list[Holder] = []
_lifeline: _Lifeline | None = None
# The read end of the lifeline of the process that forked this one.
_inherited: int | None = None
_lock = threading.Lock()
_restore_signals: list[Callable[[bool], None]] = []
# Whether every fork belongs to the worker, as in `geartrain work`, and not only those under a job.
_is_workers_process = False


def own_process() -> None:
    """Declare that this process is the worker's alone: its forked children all end with it."""
    global _is_workers_process
    _is_workers_process = True


def hold(holder: Holder) -> None:
    """Have a holder's descriptors given up in forked children, until `release`."""
    global _lifeline
    with _lock:
        if _lifeline is None:
            _lifeline = _Lifeline()
        _holders.append(holder)


def release(holder: Holder) -> None:
    """Forget a holder; with the last one the children that its handlers forked end."""
    global _lifeline
    with _lock:
        # In a forked child nobody is registered any more.
        if holder in _holders:
            _holders.remove(holder)
            if not _holders and _lifeline is not None:
                _lifeline.close()
                _lifeline = None


@contextlib.contextmanager
def restoring_signals(restore: Callable[[bool], None]) -> Iterator[None]:
    """While the block runs, have forked children call `restore` with whether a job forked them."""
    _restore_signals.append(restore)
    try:
        yield
    finally:
        # In a forked child the list is empty.
        if restore in _restore_signals:
            _restore_signals.remove(restore)


@contextlib.contextmanager
def ending_children() -> Iterator[None]:
    """Run a block that may fork: its end, or its exception, ends a forked process."""
    before = generation
    try:
        yield
    except BaseException as error:
        if generation != before:
            end(error)
        raise
    if generation != before:
        end()


def end(error: BaseException | None = None) -> Never:
    """End this forked process as its handler ended: with 0, an exit code, or 1 and a line in the log."""
    code = 0
    with contextlib.suppress(BaseException):
        if isinstance(error, SystemExit):
            code = _exit_code(error)
        elif error is not None:
            code = 1
            _log.warning("a process forked by a handler raised an exception", pid=os.getpid(), exc_info=error)
    _exit(code)


def end_suspended() -> Never:
    """End this forked process where its coroutine would wait: the event loop is its parent's."""
    with contextlib.suppress(BaseException):
        _log.warning("a process forked by a coroutine ended at its first await", pid=os.getpid())
    _exit(1)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def _exit(code: int) -> Never:
    # What runs at an interpreter's exit is the worker's.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(code)


def _after_fork() -> None:
    """Make a forked process a stranger to its parent's connections."""
    global generation, _lifeline, _inherited, _lock, _reaper
    generation += 1
    if _reaper is not None:
        _reaper.announce(current.get())
        _reaper = None
    _lock = threading.Lock()
    holders = _holders[:]
    _holders.clear()
    for holder in holders:
        with contextlib.suppress(Exception):
            give_up(holder.forked())
    is_jobs = _is_workers_process or current.get() is not None
    for restore in _restore_signals:
        with contextlib.suppress(Exception):
            restore(is_jobs)
    _restore_signals.clear()
    if _lifeline is not None:
        _lifeline.forked()
        if is_jobs and _inherited is None:
            _inherited = _lifeline.reader
        else:
            os.close(_lifeline.reader)
        _lifeline = None
    if _inherited is not None:
        _thread.start_new_thread(_end_with_worker, (_inherited,))


def _end_with_worker(lifeline: int) -> None:
    # Signals are for the process's own thread, which they may have to interrupt.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    os._exit(1)


def _before_fork() -> None:
    """Have a job's child reaped once the job has ended."""
    global _reaper
    job = current.get()
    if job is not None:
        with _lock:
            if _reaper is None:
                _reaper = _Reaper()
        _reaper.begin(job)


def job_ended(job: Job) -> None:
    """Note the end of a job, so that the children that it left are reaped."""
    if _reaper is not None:
        _reaper.ended(job)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
