"""Processes that a handler forks: they give up the worker's sockets, and end with the handler and the worker.

A forked process is a copy of the worker in the middle of a job. Left alone it would report the job a second
time, grab jobs on its parent's connection, and keep that connection open after its parent's end. So in the
child:

- every registered socket is replaced by the null device at once, whichever thread forked;
- the handler's return or exception ends the process, see `end`;
- signals have the handlers again that they had before the worker ran;
- a process that was forked by a job ends when its worker does, however the worker ends.

A program that is to outlive the worker is started with `subprocess` in a session of its own.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Never, Protocol

import structlog

from .job import current

FORKED: Final = "this process was forked from the worker's"
"""Reason of `JobLostError` in a forked process."""

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


_holders: list[Holder] = []
_lifeline: _Lifeline | None = None
# The read end of the lifeline of the process that forked this one.
_inherited: int | None = None
_lock = threading.Lock()
_restore_signals: list[Callable[[bool], None]] = []
# Whether every fork belongs to the worker, as in `geartrain work`, and not only those under a job.
_is_workers_process = False


def own_process() -> None:
    """Declare that this process is the worker's alone: each process that it forks from now on ends with it."""
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
    print(error.code, file=sys.stderr)
    return 1


def _exit(code: int) -> Never:
    # What runs at an interpreter's exit is the worker's.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(code)


def give_up(descriptors: Iterable[int]) -> None:
    """Replace descriptors by the null device in this process.

    The numbers stay taken, so whichever object still closes one closes no other file.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        if descriptor >= 0:
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def _after_fork() -> None:
    """Make a forked process a stranger to its parent's connections."""
    global generation, _lifeline, _inherited, _lock
    generation += 1
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


os.register_at_fork(after_in_child=_after_fork)
