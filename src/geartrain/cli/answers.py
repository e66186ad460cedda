"""What becomes of submitted jobs, shown in the order in which they were submitted."""

from __future__ import annotations

import base64
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..client.progress import Bar
from ..errors import ConnectionLostError, JobException, NoServersError, WaitTimeoutError
from .exits import ExitCode, code_of, complain
from .output import on_terminal, printable, show_json

if TYPE_CHECKING:
    from ..client import Task


class Answer:
    """One job's, as far as it is there. `line` is the number of the line it came from, 0 for none."""

    def __init__(self, task: Task, line: int) -> None:
        self.task = task
        self.line = line
        self.data: list[bytes] = []
        self.warnings: list[bytes] = []
        self.shown = False
        self.ended = False

    @property
    def name(self) -> str:
        """What it is called in a complaint."""
        function = printable(self.task.function)
        return f"line {self.line}: {function}" if self.line else function


class Answers:
    """Writes results to standard output, as bytes, and everything else to standard error.

    The answer at the head of the line goes out as it comes, data and all; the others wait for their turn.

    Args:
        as_json: an object a job instead.
        apart: end each answer with a newline, for there are several.
        label: begin each line of output with the function's name.
        bar: what shows the progress.
        on_end: called when a job has ended.
    """

    def __init__(
        self, *, as_json: bool, apart: bool, label: bool, bar: Bar, on_end: Callable[[Task], None]
    ) -> None:
        self.code = ExitCode.OK
        """The exit code: that of the first job that went wrong."""
        self.lost = False
        """Whether there is no server any more."""
        self.done = 0
        self._as_json = as_json
        self._apart = apart or on_terminal()
        self._label = label
        self._bar = bar
        self._on_end = on_end
        self._waiting: deque[Answer] = deque()
        self._new_line = True

    @property
    def outstanding(self) -> int:
        """How many answers are not shown yet."""
        return len(self._waiting)

    def expect(self, task: Task, line: int = 0) -> None:
        """Show what becomes of a task that is about to be submitted."""
        answer = Answer(task, line)
        self._waiting.append(answer)
        task.on_data(lambda task, data: self._data(answer, data))
        task.on_warning(lambda task, warning: self._warning(answer, warning))
        task.on_status(lambda task, numerator, denominator: self._status(answer, numerator, denominator))
        task.on_fail(lambda task, failure: self._end(answer))
        task.on_complete(lambda task, result: self._end(answer))
        if task.background:
            task.on_created(lambda task: self._end(answer))

    def close(self) -> None:
        """Take the progress bar off the terminal."""
        self._bar.clear()

    # What comes of a task

    def _data(self, answer: Answer, data: bytes) -> None:
        if answer is self._waiting[0] and not self._as_json:
            self._write(answer, data)
            sys.stdout.flush()
        else:
            answer.data.append(data)

    def _warning(self, answer: Answer, warning: bytes) -> None:
        if self._as_json:
            answer.warnings.append(warning)
        else:
            self._complain(f"{answer.name}: warning: {_lines(warning)}")

    def _status(self, answer: Answer, numerator: int, denominator: int) -> None:
        if len(self._waiting) == 1 and not answer.line:
            self._bar.draw(printable(answer.task.function), numerator, denominator)

    def _end(self, answer: Answer) -> None:
        if answer.ended:
            return
        answer.ended = True
        self.done += 1
        while self._waiting and self._waiting[0].ended:
            self._show(self._waiting.popleft())
        if self._waiting:
            head = self._waiting[0]
            if not self._as_json:
                for data in head.data:
                    self._write(head, data)
                head.data.clear()
            sys.stdout.flush()
            if answer.line and not on_terminal():  # there the answers themselves show how far it is
                self._bar.draw("jobs", self.done, self.done + len(self._waiting))
        self._on_end(answer.task)

    # Showing it

    def _show(self, answer: Answer) -> None:
        task = answer.task
        failure = task.failure
        if failure is not None and self.code is ExitCode.OK:
            self.code = code_of(failure)
        if self._as_json:
            self._bar.clear()
            show_json(_described(answer))
        else:
            for data in answer.data:
                self._write(answer, data)
            if task.background:
                self._write(answer, task.handle.encode("utf-8", "surrogateescape") if not failure else b"")
            self._write(answer, task.result or b"")
            empty = answer.line and not answer.shown and failure is None
            if empty or (self._apart and not self._new_line):
                self._write(answer, b"\n")
            if failure is not None and not (self.lost and isinstance(failure, NoServersError)):
                text = str(failure).removeprefix(f"{task.function}: ")
                if isinstance(failure, JobException):
                    text = f"exception: {text}" if text else "an exception without a text"
                self._complain(f"{answer.name}: {_lines(text.encode())}")
        if isinstance(failure, NoServersError | ConnectionLostError):
            self.lost = True
        sys.stdout.flush()

    def _write(self, answer: Answer, data: bytes) -> None:
        if not data:
            return
        if on_terminal():
            self._bar.clear()
        if self._label:
            label = answer.task.function.encode("utf-8", "surrogateescape") + b": "
            lines = data.splitlines(keepends=True)
            parts = [label + line for line in lines]
            data = b"".join(parts if self._new_line else [lines[0], *parts[1:]])
        self._new_line = data.endswith(b"\n")
        answer.shown = True
        sys.stdout.buffer.write(data)

    def _complain(self, sentence: str) -> None:
        self._bar.clear()
        complain(sentence)


def _described(answer: Answer) -> dict[str, object]:
    """An answer as JSON."""
    task = answer.task
    shown: dict[str, object] = {"line": answer.line} if answer.line else {}
    shown |= {"function": task.function, "handle": task.handle, "state": task.state.value}
    if task.unique:
        shown["unique"] = task.unique
    if answer.data:
        shown |= _field("data", b"".join(answer.data))
    if task.result is not None:
        shown |= _field("result", task.result)
    if answer.warnings:
        shown["warnings"] = [warning.decode("utf-8", "replace") for warning in answer.warnings]
    if isinstance(task.failure, JobException):
        shown |= _field("exception", task.failure.data)
    elif task.failure is not None:
        shown["failure"] = str(task.failure)
    if isinstance(task.failure, WaitTimeoutError) and task.failure.workers is not None:
        shown |= {"workers": task.failure.workers, "waiting": task.failure.waiting}
    return shown


def _field(name: str, data: bytes) -> dict[str, object]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}


def _lines(text: bytes) -> str:
    return "\n".join(map(printable, text.decode("utf-8", "replace").splitlines()))
