"""Child processes that tests start: their output is kept, every wait is bounded, nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Final, Self

POLL_INTERVAL: Final = 0.01
"""Seconds between two looks at a condition that is waited for."""
DEFAULT_TIMEOUT: Final = 30.0
"""Seconds that a wait may take unless told otherwise; only a failing test waits as long."""
STOP_PATIENCE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""
SHOWN_OUTPUT: Final = 8 * 1024
"""Bytes from the end of a child's output that a failure shows."""

DIES_WITH_PARENT: Final = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
"""What a command begins with that is to end with the thread that starts it."""


def wait_until(
    condition: Callable[[], object],
    what: str,
    timeout: float = DEFAULT_TIMEOUT,
    *,
    interval: float = POLL_INTERVAL,
) -> None:
    """Wait until `condition()` is true. `what` completes the sentence "waited in vain until …"."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain until {what}")
        time.sleep(interval)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on. Somebody else may take it first, so be ready to try another."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def wait_for_port(host: str, port: int, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Wait until somebody accepts connections there."""
    wait_until(lambda: accepts(host, port), f"{host}:{port} accepts connections", timeout)


class Process:
    """A child process in a session of its own, as a context manager: when the block ends, it has ended too.

    If the block raises, the end of the child's output is added to the exception as a note. Where the system
    has `setpriv`, the child also ends when the thread that started it is gone, so that not even a killed
    test run leaves it behind.

    Args:
        command: the program and its arguments.
        env: variables added to this process's environment.
        cwd: where it runs.
        stdin: as for `subprocess.Popen`; nothing to read unless told otherwise.
    """

    def __init__(
        self,
        *command: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
    ) -> None:
        self.command = [os.fspath(part) for part in command]
        program = self.command[0]
        if shutil.which(os.path.join(cwd or "", program) if os.sep in program else program) is None:
            raise FileNotFoundError(program)
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self.popen = subprocess.Popen(
                [*DIES_WITH_PARENT, *self.command],
                stdin=stdin,
                stdout=self._stdout,
                stderr=self._stderr,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            self._stdout.close()
            self._stderr.close()
            raise
        self._kept: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            if error is not None:
                error.add_note(self.report())

    @property
    def pid(self) -> int:
        """The child's process id, which is also that of its session and process group."""
        return self.popen.pid

    @property
    def returncode(self) -> int | None:
        """How it ended: its exit code, or minus the signal that killed it; None while it runs."""
        return self.popen.poll()

    # Its output

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return _text(self._stdout) if self._kept is None else self._kept[0]

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return _text(self._stderr) if self._kept is None else self._kept[1]

    @property
    def output(self) -> str:
        """Both, standard output first."""
        return self.stdout + self.stderr

    def report(self) -> str:
        """What a failure shows of it: the command, how it ended, the end of its output."""
        code = self.returncode
        state = "still runs" if code is None else f"ended with {code}"
        parts = [f"{shlex.join(self.command)} (pid {self.pid}) {state}"]
        for name, text in (("stdout", self.stdout), ("stderr", self.stderr)):
            if text:
                parts.append(f"--- its {name}:\n{text[-SHOWN_OUTPUT:].rstrip()}")
        return "\n".join(parts)

    # Waiting for it

    def wait(self, timeout: float = DEFAULT_TIMEOUT) -> int:
        """Wait until it ends by itself; returns its exit code, or minus the signal that killed it."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"waited {timeout:g} s in vain for the end of\n{self.report()}") from None

    def wait_until(
        self, condition: Callable[[], object], what: str, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        """Wait until `condition()` is true; fails at once if the child ends before."""

        def met() -> bool:
            # In this order: a child may fulfil the condition and end at once.
            ended = self.returncode is not None
            if condition():
                return True
            if ended:
                raise AssertionError(f"it ended before {what}")
            return False

        try:
            wait_until(met, what, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.report()}") from None

    def wait_for_output(self, text: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Wait until it has written `text` to its standard output or error."""
        self.wait_until(lambda: text in self.output, f"{text!r} was written", timeout)

    # Ending it

    def signal(self, number: int) -> None:
        """Send a signal to the child alone, not to its children."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """End it without warning, its children too, as `kill -9` and a power cut do."""
        self._signal_group(signal.SIGKILL)
        self.popen.wait(STOP_PATIENCE)

    def stop(self, patience: float = STOP_PATIENCE) -> None:
        """End it: SIGTERM, and SIGKILL for what is left of its group after `patience` seconds."""
        if self._kept is not None:
            return
        if self.popen.stdin is not None:
            with contextlib.suppress(OSError):
                self.popen.stdin.close()
        if self.returncode is None:
            self._signal_group(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(patience)
        self.kill()
        self._kept = (_text(self._stdout), _text(self._stderr))
        self._stdout.close()
        self._stderr.close()

    def _signal_group(self, number: int) -> None:
        # A group outlives its leader while it has members, and its id is not given out again until then.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _text(file: IO[bytes]) -> str:
    # By position, since the child writes at the offset that it shares with this descriptor.
    descriptor = file.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")
