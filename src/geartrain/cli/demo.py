"""`geartrain demo`: the calculus environment, and whoever likes to have it count."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final

import typer

from ..errors import JobException, JobFailed, WaitTimeoutError
from .help import examples
from .operations import Operation, Unreadable, read_operations

if TYPE_CHECKING:
    from ..client import Client, JobFuture
    from .environment import Environment, Part

app = typer.Typer()

ANSWER_WITHIN: Final = 10.0
"""Seconds that a worker has for an operation."""
LOOK_EVERY: Final = 0.5
"""Seconds after which a worker that has not answered is looked after, and a signal is looked for."""
AT_ONCE: Final = 1000
"""Operations of one line that wait for their answers together at most."""

DIAGRAM: Final = """
                     ┌─{line}─┐       ┌─ {0}
                     │ {name} │       ├─ {1}
  you ── client ──── │ {address} │ ──────┤
         pid {pid:<8}│ {server} │       ├─ {2}
                     └─{line}─┘       └─ {3}
"""
PLAIN: Final = str.maketrans("┌┐└┘├┤─│", "+" * 6 + "-|")
GREETING: Final = """
Each of them is a process of its own. Type an operation such as 2+3, or several: 6*7 8/2 1/0.
The client submits each as a job, a worker does it. Ctrl-D ends it all.
"""
WANTED: Final = "not an operation; that is two numbers with + - * or / between them, such as 2+3 or 1.5 * -4"


@app.command(
    epilog=examples("geartrain demo", "echo '2+3 7*6 1/0' | geartrain demo  # answers and ends"),
)
def demo() -> None:
    """See it work: a job server, four workers, and a client that answers 2+3.

    Each of them is a process of its own, on a free port. Whatever ends the demo ends them all.
    """
    from ..client import Client
    from .environment import Environment

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        with Environment() as environment, Client(environment.address) as client:
            if sys.stdin.isatty():
                _show(environment)
            for line in _lines():
                _answer(line, client, environment)
    except KeyboardInterrupt:
        typer.echo()


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _show(environment: Environment) -> None:
    server, *workers = environment.parts
    width = max(len(environment.address), len(f"pid {server.process.pid}"))

    def worker(part: Part) -> str:
        return f"{part.name:<22}pid {part.process.pid}"

    text = DIAGRAM.format(
        *map(worker, workers),
        line="─" * width,
        name=f"{server.name:^{width}}",
        address=f"{environment.address:^{width}}",
        server=f"{f'pid {server.process.pid}':^{width}}",
        pid=os.getpid(),
    )
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = text.translate(PLAIN)
    typer.echo(text + GREETING)


def _lines() -> Iterator[str]:
    if not sys.stdin.isatty():
        for line in sys.stdin.buffer:
            yield line.decode("utf-8", "replace")
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # lets the prompt be edited and remember its lines
    while True:
        try:
            with _waking():
                line = input("> ")
        except EOFError:
            typer.echo()
            return
        yield line


@contextlib.contextmanager
def _waking() -> Iterator[None]:
    """While the block runs, wake a system call that waits every `LOOK_EVERY` seconds.

    A signal that comes just before readline begins to wait would not be seen until the next key.
    """
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, LOOK_EVERY, LOOK_EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(line: str, client: Client, environment: Environment) -> None:
    """Submit every operation of a line, and show the answers in the order of the questions."""
    waiting: deque[tuple[Operation, JobFuture[bytes]] | Unreadable] = deque()
    for item in read_operations(line):
        if len(waiting) == AT_ONCE:
            _show_answer(waiting.popleft(), environment)
        if isinstance(item, Unreadable):
            waiting.append(item)
        else:
            waiting.append((item, client.submit(item.function, item.workload)))
    while waiting:
        _show_answer(waiting.popleft(), environment)


def _show_answer(item: tuple[Operation, JobFuture[bytes]] | Unreadable, environment: Environment) -> None:
    if isinstance(item, Unreadable):
        typer.echo(f"{item.text}: {WANTED}")
        return
    operation, future = item
    worker = f"the {operation.function} worker"
    try:
        result = _result(future, operation, environment)
    except JobException as error:
        typer.echo(f"{operation.text}: {typer.style(str(error), fg='red')} (exception from {worker})")
    except JobFailed:
        typer.echo(f"{operation.text}: {worker} failed")
    except WaitTimeoutError:
        typer.echo(f"{operation.text}: {worker} does not answer")
    else:
        typer.echo(f"{operation.text} = {typer.style(result.decode(), bold=True)}")


def _result(future: JobFuture[bytes], operation: Operation, environment: Environment) -> bytes:
    deadline = time.monotonic() + ANSWER_WITHIN
    while True:
        try:
            return future.result(LOOK_EVERY)
        except WaitTimeoutError:
            if not environment.runs(operation.function) or time.monotonic() > deadline:
                raise
