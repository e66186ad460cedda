"""The servers and the workers, and what is done to them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

from tests.harness.processes import Process, free_port, wait_for_port, wait_until

from .account import Account

GRACE: Final = 5
"""Seconds that workers have to stop."""
MARGIN: Final = 20.0
"""Seconds beyond it, for a machine that is busy."""
ROOT: Final = Path(__file__).parents[2]


class Servers:
    """Job servers that come back, each at its port with its journal."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self.ports = [free_port() for _ in range(count)]
        self._processes = [self._start(port) for port in self.ports]

    @property
    def addresses(self) -> list[str]:
        """Where they are."""
        return [f"127.0.0.1:{port}" for port in self.ports]

    def restart(self, number: int, signal_number: int, pause: float) -> int:
        """End one, and start it again after a pause; returns how it ended."""
        process = self._processes[number]
        process.signal(signal_number)
        code = process.wait(60)
        process.stop()
        time.sleep(pause)
        self._processes[number] = self._start(self.ports[number])
        return code

    def stop(self) -> None:
        """Stop them all."""
        for process in self._processes:
            process.stop()

    def _start(self, port: int) -> Process:
        journal = f"sqlite:{self._folder / f'{port}.db'}"
        command = [sys.executable, "-m", "geartrain", "serve", "--port", str(port), "--journal", journal]
        process = Process(*command, cwd=self._folder)
        try:
            process.wait_until(lambda: "listens" in process.stderr, "the server listens", 60)
            wait_for_port("127.0.0.1", port, 60)
        except BaseException:
            print(process.report())
            process.stop()
            raise
        return process


class Workers:
    """Supervisors of worker processes that come back."""

    def __init__(self, folder: Path, servers: list[str], count: int) -> None:
        self._folder = folder
        self._servers = servers
        self._processes = [self._start() for _ in range(count)]

    def __len__(self) -> int:
        return len(self._processes)

    def children(self, number: int) -> list[int]:
        """The processes under a supervisor."""
        pid = self._processes[number].pid
        with contextlib.suppress(OSError):
            return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def signal(self, number: int, signal_number: int) -> None:
        """Send a supervisor a signal."""
        self._processes[number].signal(signal_number)

    def restart(self, number: int, signal_number: int) -> str:
        """End a supervisor and start another one; returns what was wrong with its end, if anything."""
        process = self._processes[number]
        children = self.children(number)
        began = time.monotonic()
        process.signal(signal_number)
        wrong = ""
        code = process.wait(GRACE + MARGIN)
        # One that has not begun yet does not listen to signals.
        if signal_number == signal.SIGTERM and code != 0 and children:
            wrong = f"a supervisor ended with {code} after SIGTERM:\n{process.report()}"
        for child in children:
            try:
                wait_until(partial(_has_ended, child), "it has ended", GRACE + MARGIN)
            except AssertionError:
                wrong = f"the child {child} outlived its supervisor by {time.monotonic() - began:.0f} s"
        process.stop()
        self._processes[number] = self._start()
        return wrong

    def stop(self) -> None:
        """Stop them all."""
        for process in self._processes:
            process.stop(GRACE + MARGIN)

    def _start(self) -> Process:
        options = ["--processes", "2", "--threads", "2", "--concurrency", "10", "--grace", str(GRACE)]
        options += ["--max-jobs", "2000", "--log-level", "warning"]
        for server in self._servers:
            options += ["--server", server]
        return Process(
            *(sys.executable, "-m", "geartrain", "work", "tests.soak.app", *options),
            cwd=self._folder,
            env={"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def do_something(chance: random.Random, servers: Servers, workers: Workers, account: Account) -> None:
    """Do something to one of them."""
    supervisor = chance.randrange(len(workers))
    server = chance.randrange(len(servers.ports))
    wrong = ""
    match chance.choices(range(6), (40, 5, 10, 5, 8, 4))[0]:
        case 0:
            children = workers.children(supervisor)
            if not children:
                return
            deed = "a worker process was killed"
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(children), signal.SIGKILL)
        case 1:
            deed = "a supervisor was killed"
            wrong = workers.restart(supervisor, signal.SIGKILL)
        case 2:
            if not workers.children(supervisor):
                return  # it has just begun, and does not listen to signals yet
            deed = "a supervisor started its processes anew"
            workers.signal(supervisor, signal.SIGHUP)
        case 3:
            deed = "a supervisor was stopped"
            wrong = workers.restart(supervisor, signal.SIGTERM)
        case 4:
            deed = "a server was killed"
            servers.restart(server, signal.SIGKILL, chance.random() / 2)
        case _:
            deed = "a server was stopped"
            code = servers.restart(server, signal.SIGTERM, chance.random() / 2)
            wrong = f"a server ended with {code} after SIGTERM" if code else ""
    account.deeds[deed] += 1
    if wrong:
        account.complain(wrong)
