"""A shell command as a worker's function: the job on its standard input, its standard output the result."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Final

from ..errors import JobFailed, TimeLimitError
from ..wire.parser import MAX_PACKET
from ..worker import Job

CHUNK: Final = 64 * 1024
LARGEST_OUTPUT: Final = MAX_PACKET - 1024
"""Bytes that a command may write at most: what a packet holds, less room for a handle."""
TERMINATE_WITHIN: Final = 2.0
"""Seconds between SIGTERM and SIGKILL for a command that is past its time limit."""
SERVER_MARGIN: Final = 5.0
"""Seconds beyond a time limit after which the server gives the job to another worker: this one has hung."""
POLL_EVERY: Final = 0.05
"""Seconds between two looks at a command where the system has no descriptors for processes."""


_running: Final[set[int]] = set()


def kill_running() -> None:
    """Kill the commands of all jobs in hand, where their worker ends without waiting for its threads."""
    for group in list(_running):
        _signal(group, signal.SIGKILL)


class ShellFunction:
    """Runs `command` with the shell for each job.

    The command finds the job's function, handle and unique in `GEARMAN_FUNCTION`, `GEARMAN_HANDLE` and
    `GEARMAN_UNIQUE`; its standard error is the worker's. An exit code other than zero fails the job. The
    command is in a session of its own, so that a Ctrl-C lets it finish as it lets the job. The job ends with
    the command, even if a background process of it still holds its standard output.

    Args:
        command: the argument of `/bin/sh -c`.
        lines: send each line as data as soon as it is written; the result is then empty.
        strip: leave out the newline at the end of each line, or of the result.
        limit: seconds that a job may take. Then the command's process group gets SIGTERM, two seconds later
            SIGKILL, and the client a `TimeLimitError`. None: no limit.
    """

    def __init__(
        self, command: str, *, lines: bool = False, strip: bool = False, limit: float | None = None
    ) -> None:
        self.command = command
        self.lines = lines
        self.strip = strip
        self.limit = limit

    @property
    def server_timeout(self) -> float | None:
        """Seconds to announce to the servers: the limit, and time to stop the command."""
        return None if self.limit is None else self.limit + SERVER_MARGIN

    def __call__(self, job: Job) -> bytes:
        """Do one job.

        Raises:
            JobFailed: the command ended with another code than zero, or wrote more than a result holds.
            TimeLimitError: the command took longer than the limit.
        """
        names = {
            "GEARMAN_FUNCTION": job.function,
            "GEARMAN_HANDLE": job.handle,
            "GEARMAN_UNIQUE": job.unique,
        }
        process = subprocess.Popen(
            ["/bin/sh", "-c", self.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **{name: value.replace("\0", "") for name, value in names.items()}},
            start_new_session=True,
        )
        _running.add(process.pid)
        try:
            output = self._collect(_Run(process, job.workload, self.limit), job)
        except BaseException:
            # The time is over, the worker was told twice to stop, or the job is not its own any more.
            _signal(process.pid, signal.SIGKILL)
            raise
        finally:
            code = process.wait()
            _running.discard(process.pid)
            for stream in filter(None, (process.stdin, process.stdout)):
                with contextlib.suppress(OSError):  # input that the command has not read
                    stream.close()
        if code:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise JobFailed(f"{self.command!r} ended with {how}")
        return output

    def _collect(self, run: _Run, job: Job) -> bytes:
        output = bytearray()
        for data in run.output():
            output += data
            if self.lines:
                *lines, rest = output.split(b"\n")
                for line in lines:
                    job.data(bytes(line) if self.strip else bytes(line) + b"\n")
                output = bytearray(rest)
            if len(output) > LARGEST_OUTPUT:
                raise JobFailed(
                    f"{self.command!r} wrote more than the {LARGEST_OUTPUT} bytes that a result holds"
                )
        if not self.lines:
            return bytes(output.removesuffix(b"\n") if self.strip else output)
        if output:
            job.data(bytes(output))
        return b""


class _Run:
    """One run of a command: its input is written and its output read until it ends or its time is over."""

    def __init__(self, process: subprocess.Popen[bytes], workload: bytes, limit: float | None) -> None:
        self._process = process
        self._unsent = memoryview(workload)
        self._limit = limit
        self._deadline = None if limit is None else time.monotonic() + limit
        self._terminated = False

    def output(self) -> Iterator[bytes]:
        """Yield the command's output as it comes.

        Raises:
            TimeLimitError: the time is over, and the command has been told to end.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        for stream in (process.stdin, process.stdout):
            os.set_blocking(stream.fileno(), False)
        with selectors.DefaultSelector() as selector, _process_descriptor(process.pid) as descriptor:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(process.stdin, selectors.EVENT_WRITE)
            if descriptor is not None:
                selector.register(descriptor, selectors.EVENT_READ)
            while process.poll() is None:
                for key, _ in selector.select(self._wait(descriptor is not None)):
                    if key.fileobj is process.stdin:
                        self._feed(selector)
                    elif key.fileobj is process.stdout:
                        data = process.stdout.read(CHUNK)
                        if data:
                            yield data
                        elif data is not None:
                            selector.unregister(process.stdout)
        if self._terminated:
            raise TimeLimitError(self._limit or 0.0)
        # All that the command itself has written. A background process may hold the pipe open.
        while data := process.stdout.read(CHUNK):
            yield data

    def _wait(self, is_told: bool) -> float | None:
        """Return how long to wait for an event, and stop the command if its time is over."""
        longest = None if is_told else POLL_EVERY
        if self._deadline is None:
            return longest
        left = self._deadline - time.monotonic()
        if left <= 0:
            if self._terminated:
                raise TimeLimitError(self._limit or 0.0)
            self._terminated = True
            _signal(self._process.pid, signal.SIGTERM)
            self._deadline += TERMINATE_WITHIN
            left = TERMINATE_WITHIN
        return left if longest is None else min(left, longest)

    def _feed(self, selector: selectors.BaseSelector) -> None:
        stdin: Any = self._process.stdin
        try:
            self._unsent = self._unsent[os.write(stdin.fileno(), self._unsent[:CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # a command need not read its input
            self._unsent = self._unsent[:0]
        if not self._unsent:
            selector.unregister(stdin)
            stdin.close()


@contextlib.contextmanager
def _process_descriptor(pid: int) -> Iterator[int | None]:
    """A descriptor that is readable once the process has ended; None where the system has none."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
