"""Job servers and peers that run, and what happens to the jobs of a client among them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.harness.processes import Process, wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import SERVERS, JobServer

from .capabilities import Peer, Row, Server
from .cast import ENVIRONMENT, command

PATIENCE: Final = 20.0
"""Seconds that a client may take with its jobs; only a failing test waits as long."""


class Job(NamedTuple):
    """What a client is told to submit; the modes are listed in `peers/__init__.py`."""

    function: str
    workload: bytes = b""
    mode: str = "foreground"
    unique: str = ""


class Event(NamedTuple):
    """A line of what a client tells of a job: the word, and what comes after it."""

    name: str
    text: str = ""

    @property
    def data(self) -> bytes:
        """The bytes that came with it."""
        return bytes.fromhex(self.text)


class Gate:
    """Holds the jobs of the functions `gate` and `progress` until it is opened, and knows which started."""

    _numbers = itertools.count(1)

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"gate-{next(self._numbers)}"

    def workload(self, name: str) -> bytes:
        """The workload of a job that this gate holds."""
        return f"{self._path} {name}".encode()

    def open(self) -> None:
        """Let all pass, now and later."""
        self._path.with_suffix(".open").touch()

    @property
    def started(self) -> list[str]:
        """The names of the jobs that a worker has begun with, in that order."""
        log = self._path.with_suffix(".log")
        return log.read_text().split() if log.exists() else []

    def wait_for(self, count: int) -> None:
        """Wait until that many jobs have begun."""
        wait_until(lambda: len(self.started) >= count, f"{count} jobs have begun", PATIENCE)


class Client:
    """A client's process."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def events(self, number: int = 0) -> list[Event]:
        """What it has told so far of the job with that number, but for its creation."""
        return [event for event in self._told(number) if event.name != "created"]

    def handle(self, number: int = 0) -> str:
        """The handle of a job; empty as long as the client has told none."""
        return next((event.text for event in self._told(number) if event.name == "created"), "")

    def finish(self) -> list[Event]:
        """Wait until it ends well; returns what it told of its first job, but for its creation."""
        status = self.process.wait(PATIENCE)
        assert status == 0, self.process.report()
        return self.events()

    def _told(self, number: int) -> list[Event]:
        # A line that is only half written does not count.
        lines = self.process.stdout.rpartition("\n")[0].splitlines()
        words = [line.split(" ", 2) for line in lines]
        return [Event(*rest) for told, *rest in words if int(told) == number]


@dataclass
class Stage:
    """The servers and workers of a test process; each is started when it is first needed and kept."""

    scratch: Path
    _stack: ExitStack = field(default_factory=ExitStack)
    _servers: dict[Server, JobServer] = field(default_factory=dict)
    _workers: dict[tuple[Server, Peer], Process] = field(default_factory=dict)

    def server(self, kind: Server) -> JobServer:
        """The job server of that kind."""
        server = self._servers.get(kind)
        if server is None or server.process.returncode is not None:
            server = self._stack.enter_context(SERVERS[kind.value]())
            self._servers[kind] = server
        return server

    def worker(self, kind: Server, peer: Peer) -> str:
        """Have that worker work for that server; returns the prefix of its functions."""
        server = self.server(kind)
        prefix = f"{peer.value}."
        worker = self._workers.get((kind, peer))
        if worker is None or worker.returncode is not None:
            worker = self._stack.enter_context(self.start_worker(server, peer, prefix))
            self._workers[kind, peer] = worker
        return prefix

    @contextmanager
    def start_worker(self, server: JobServer, peer: Peer, prefix: str) -> Iterator[Process]:
        """One more worker, with its own prefix, for as long as the block runs."""
        program = command(peer, "worker", self.scratch)
        with Process(*program, server.host, str(server.port), prefix, env=ENVIRONMENT) as worker:
            try:
                yield worker
            finally:
                worker.kill()

    def close(self) -> None:
        """End all that runs."""
        self._stack.close()


def unfinished(server: JobServer, function: str) -> int:
    """How many jobs of a function a server has, queued or running."""
    with server.connect() as asker:
        asker.send_text("status")
        for line in asker.recv_lines():
            name, total, *_ = line.split(b"\t")
            if name == function.encode():
                return int(total)
    return 0


def wait_for_unfinished(server: JobServer, function: str, count: int) -> None:
    """Wait until a server has that many jobs of a function."""
    wait_until(
        lambda: unfinished(server, function) == count, f"the server has {count} jobs of {function}", PATIENCE
    )


class Trio:
    """A row of the matrix that runs: its server and worker, and clients as a test starts them."""

    _numbers = itertools.count(1)

    def __init__(self, stage: Stage, row: Row, folder: Path, running: ExitStack) -> None:
        self.stage = stage
        self.row = row
        self.folder = folder
        self.server = stage.server(row.server)
        self._running = running

    def function(self, name: str) -> str:
        """That function of the row's worker, which is started if it does not run."""
        return self.stage.worker(self.row.server, self.row.worker) + name

    def fresh_worker(self, prefix: str) -> Process:
        """One more worker of the row's kind."""
        return self._running.enter_context(self.stage.start_worker(self.server, self.row.worker, prefix))

    def start(self, *jobs: Job) -> Client:
        """Start the row's client with these jobs."""
        words = []
        for job in jobs:
            file = self.folder / f"workload-{next(self._numbers)}"
            file.write_bytes(job.workload)
            words += [job.mode, job.function, job.unique, str(file)]
        program = command(self.row.client, "client", self.stage.scratch)
        process = Process(*program, self.server.host, str(self.server.port), *words, env=ENVIRONMENT)
        return Client(self._running.enter_context(process))

    def run(self, function: str, workload: bytes = b"") -> list[Event]:
        """Have the client wait for one job; returns what happened to it."""
        return self.start(Job(self.function(function), workload)).finish()

    def block(self, gate: Gate) -> None:
        """Give the worker a job that the gate holds, so that further ones are queued."""
        with self.server.connect() as submitter:
            submitter.submit(self.function("gate"), gate.workload("first"), type=Packet.SUBMIT_JOB_BG)
        gate.wait_for(1)
