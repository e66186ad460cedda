"""A shell command as a worker's function: the job on its standard input, its standard output the result."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import IO, Final

from ..errors import JobFailed
from ..wire.parser import MAX_PACKET
from ..worker import Job

CHUNK: Final = 64 * 1024
LARGEST_OUTPUT: Final = MAX_PACKET - 1024
"""Bytes that a command may write at most: what a packet holds, less room for a handle."""


_running: Final[set[int]] = set()


def kill_running() -> None:
    """Kill the commands of all jobs in hand, where their worker ends without waiting for its threads."""
    for group in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


class ShellFunction:
    """Runs `command` with the shell for each job.

    The command finds the job's function, handle and unique in `GEARMAN_FUNCTION`, `GEARMAN_HANDLE` and
    `GEARMAN_UNIQUE`; what it writes to standard error is the worker's. An exit code other than zero fails
    the job. The command is in a session of its own, so that a Ctrl-C lets it finish as it lets the job.

    Args:
        command: what `/bin/sh -c` is given.
        lines: send each line as data as soon as it is written; the result is then empty.
        strip: leave the newline at the end of each line, or of the result, out.
    """

    def __init__(self, command: str, *, lines: bool = False, strip: bool = False) -> None:
        self.command = command
        self.lines = lines
        self.strip = strip

    def __call__(self, job: Job) -> bytes:
        """Do one job.

        Raises:
            JobFailed: the command ended with another code than zero, or wrote more than a result holds.
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
        assert process.stdin is not None
        assert process.stdout is not None
        _running.add(process.pid)
        feeder = threading.Thread(target=_feed, args=(process.stdin, job.workload), daemon=True)
        feeder.start()
        try:
            output = self._read(process.stdout, job)
            code = process.wait()
        except BaseException:
            # The worker was told twice to stop, or the job is not its own any more.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            _running.discard(process.pid)
            process.stdout.close()
            feeder.join()
        if code:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise JobFailed(f"{self.command!r} ended with {how}")
        return output

    def _read(self, stdout: IO[bytes], job: Job) -> bytes:
        if self.lines:
            for line in iter(lambda: stdout.readline(LARGEST_OUTPUT), b""):
                job.data(self._stripped(line))
            return b""
        output = stdout.read(LARGEST_OUTPUT + 1)
        if len(output) > LARGEST_OUTPUT:
            raise JobFailed(
                f"{self.command!r} wrote more than the {LARGEST_OUTPUT} bytes that a result holds"
            )
        return self._stripped(output)

    def _stripped(self, output: bytes) -> bytes:
        return output.removesuffix(b"\n") if self.strip else output


def _feed(stdin: IO[bytes], workload: bytes) -> None:
    # A command need not read what it is given.
    with contextlib.suppress(BrokenPipeError), stdin:
        stdin.write(workload)
