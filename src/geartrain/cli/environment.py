"""The calculus environment: a job server and four workers, each a process, started and stopped together."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Self

from ..client import Admin
from ..errors import GeartrainError
from .operations import FUNCTIONS

START_WITHIN: Final = 30.0
"""Seconds that each part has to start."""
STOP_WITHIN: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""
POLL: Final = 0.02
"""Seconds between two looks at whether a part has started."""
SHOWN: Final = 2000
"""Characters from the end of a part's log that an error shows."""


class PartFailedError(GeartrainError):
    """A part of the environment did not start."""


class Part:
    """One process of the environment: the job server or a worker.

    It holds its standard input open, and the part ends when that ends: however this process goes, killed
    or not, no part stays. It is in a session of its own, so that a Ctrl-C is for this process to act on.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "geartrain", *arguments, "--until-eof"],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            raise

    @property
    def log(self) -> str:
        """What it has said so far."""
        # By position, since the process writes at the offset that it shares with this descriptor.
        descriptor = self._log.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until it has started.

        Raises:
            PartFailedError: it ended instead, or takes too long.
        """
        deadline = time.monotonic() + START_WITHIN
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise PartFailedError(
                    f"the {self.name} did not start; it said:\n{self.log[-SHOWN:].rstrip()}"
                )
            time.sleep(POLL)

    def stop(self) -> None:
        """Ask it to stop, and see to it that it does."""
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            if self.process.stdin is not None:
                self.process.stdin.close()
            self._log.close()


class Environment:
    """A job server on a free port and the four calculus workers, while the block lasts.

    Raises:
        PartFailedError: one of them did not start; the others were stopped.
    """

    def __init__(self) -> None:
        self.address = ""
        """Where the job server listens, as `host:port`."""
        self.parts: list[Part] = []
        """The job server, then the workers."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        server = self._add(
            "job server", "serve", "--port", "0", "--journal", "memory", "--log-format", "json"
        )
        server.wait_until(lambda: "\n" in server.log)
        with contextlib.suppress(ValueError, KeyError, IndexError):
            self.address = json.loads(server.log.splitlines()[0])["addresses"][0]
        if not self.address:
            raise PartFailedError(f"the job server did not start; it said:\n{server.log[-SHOWN:].rstrip()}")
        for function in FUNCTIONS.values():
            self._add(
                _worker(function), "work", f"geartrain.cli.calculus:{function}", "--server", self.address
            )
        with Admin(self.address) as admin:
            for function, worker in zip(FUNCTIONS.values(), self.parts[1:], strict=True):
                worker.wait_until(partial(_announced, admin, function))

    def _add(self, name: str, *arguments: str) -> Part:
        part = Part(name, *arguments)
        self.parts.append(part)
        return part

    def runs(self, function: str) -> bool:
        """Whether the worker for a function has not ended."""
        return any(part.name == _worker(function) and part.process.poll() is None for part in self.parts)

    def stop(self) -> None:
        """Stop every part, the workers first."""
        while self.parts:
            self.parts.pop().stop()


def _worker(function: str) -> str:
    return f"{function} worker"


def _announced(admin: Admin, function: str) -> bool:
    return any(row.function == function and row.workers for row in admin.status())
