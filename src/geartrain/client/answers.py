"""What the packets that a job server sends do to tasks and questions."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from ..errors import GeartrainError, JobException, JobFailed, PacketTooLargeError, ProtocolError, ServerError
from ..wire import packets as p
from ..wire.codec import leading_int
from ..wire.parser import Oversized, read_oversized
from .inquiry import Inquiry
from .life import Life
from .link import Hint, Link, Question, Shared
from .record import TaskRecord
from .states import CREATED, RUNNING, SUCCEEDED

SHUTDOWN: Final = "SHUTDOWN"
"""The code with which a Geartrain server that is about to end refuses new jobs."""

_ANSWERS: Final = frozenset({p.STATUS_RES, p.STATUS_RES_UNIQUE, p.OPTION_RES, p.ECHO_RES})


class Answers(Life):
    """The part of the engine that reads.

    JOB_CREATED, ERROR and the answers to questions come in the order in which they were asked for; all else
    that is told of a job carries its handle. A task or question is taken from its link when what was told of
    it has been acted on and not before: nothing is lost if a signal's handler raises in between.
    """

    # The number of the last connection attempt.
    _attempts: int

    @abstractmethod
    def _place(self, task: TaskRecord, now: float) -> None:
        """Find a task a server, or fail it."""

    @abstractmethod
    def _place_elsewhere(self, link: Link, task: TaskRecord, now: float) -> bool:
        """Find a task another server than one that is leaving; false if there is none."""

    def _act(self, link: Link, packets: list[tuple[int, bytes]], now: float) -> None:
        jobs = link.jobs
        for type, body in packets:
            if type == p.JOB_CREATED:
                self._created(link, body, now)
            elif type == p.WORK_COMPLETE:
                # Perl's workers send no NUL before an empty result, and some servers pass that on.
                handle, _, result = body.partition(b"\0")
                job = jobs.get(handle)
                if job is None:
                    continue
                if isinstance(job, Shared):
                    for task in job.tasks:
                        if not task.done:
                            self._complete(task, result, now)
                elif not job.done:
                    self._complete(job, result, now)
                del jobs[handle]
            elif type == p.WORK_FAIL or type == p.WORK_EXCEPTION:
                self._failed(link, type, body, now)
            elif type == p.WORK_STATUS or type == p.WORK_DATA or type == p.WORK_WARNING:
                self._progressed(link, type, body, now)
            elif type == p.ERROR:
                self._refused(link, body, now)
            elif type in _ANSWERS:
                self._answered(link, type, body)
            elif type == p.OVERSIZED:
                self._oversized(link, read_oversized(body), now)
            elif type == p.TEXT:
                self._told(link, body, now)
            # Whatever else there is, a client has no use for.

    def _next_awaited(self, link: Link, type: int) -> TaskRecord | Question:
        if link.awaited and link.awaited[0]._answer == type:
            return link.awaited[0]
        while link.awaited and isinstance(link.awaited[0], Inquiry | Hint):
            # This server knows no text, or no options.
            skipped = link.awaited.popleft()
            skipped.done = True
            if isinstance(skipped, Hint):
                link.takes_hints = False
            elif link.inquiries is not None:
                link.inquiries.unanswered()
        if not link.awaited or link.awaited[0]._answer != type:
            raise ProtocolError(f"{p.name_of(type)} came, and nothing it could answer was sent")
        return link.awaited[0]

    def _created(self, link: Link, handle: bytes, now: float) -> None:
        task = self._next_awaited(link, p.JOB_CREATED)
        assert isinstance(task, TaskRecord)
        if not task.background:
            # Those that have ended meanwhile too, since the server deals them their copies of the events.
            job = link.jobs.get(handle)
            if job is None:
                link.jobs[handle] = task
            elif isinstance(job, Shared):
                job.tasks.append(task)
            else:
                link.jobs[handle] = Shared([job, task])
        if task.done and not task.background:
            task._handle = handle
            self._withdraw(task)
        if not task.done:
            task._handle = handle
            task.created_at = now + self._wall_offset
            task.state = CREATED
            self._call(task, "on_created")
            if task.background:
                self._end(task, CREATED, None, now)
            elif task._is_observed:
                self._wake(task)
        link.awaited.popleft()

    def _complete(self, task: TaskRecord, result: bytes, now: float) -> None:
        task.result = result
        self._end(task, SUCCEEDED, None, now)

    def _failed(self, link: Link, type: int, body: bytes, now: float) -> None:
        handle, _, data = body.partition(b"\0")
        job = link.jobs.get(handle)
        if job is None:
            return
        for task in job.tasks if isinstance(job, Shared) else [job]:
            if task.done:
                continue
            text = task.handle
            error: GeartrainError
            if type == p.WORK_EXCEPTION:
                self._call(task, "on_exception", data)
                error = JobException(data, text)
            else:
                error = JobFailed(handle=text)
            self._retry_or_fail(task, error, now)
        del link.jobs[handle]

    def _oversized(self, link: Link, packet: Oversized, now: float) -> None:
        """Fail the tasks of a job whose result, exception, data or warning is over this side's limit."""
        job = link.jobs.pop(packet.handle, None)
        if job is not None:
            for task in job.tasks if isinstance(job, Shared) else [job]:
                self._fail(task, PacketTooLargeError(packet.size, packet.limit), now)

    def _retry_or_fail(self, task: TaskRecord, error: GeartrainError, now: float) -> None:
        if task.retries >= task.retry_count:
            self._fail(task, error, now)
            return
        task.retries += 1
        task._handle = b""
        task._since = self._attempts
        task.numerator = task.denominator = 0
        self._call(task, "on_retry", task.retries)
        self._place(task, now)

    def _progressed(self, link: Link, type: int, body: bytes, now: float) -> None:
        handle, _, data = body.partition(b"\0")
        job = link.jobs.get(handle)
        if job is None:
            return
        task = job.next() if isinstance(job, Shared) else job
        if task.done:
            return
        if task.state is not RUNNING:
            task.state = RUNNING
            task.started_at = now + self._wall_offset
        if type == p.WORK_STATUS:
            numerator, _, denominator = data.partition(b"\0")
            task.numerator, task.denominator = leading_int(numerator), leading_int(denominator)
            self._call(task, "on_status", task.numerator, task.denominator)
        elif type == p.WORK_DATA:
            if task._chunks is not None:
                task._chunks.append(data)
            self._call(task, "on_data", data)
        else:
            self._call(task, "on_warning", data)
        if task._is_observed:
            self._wake(task)

    def _refused(self, link: Link, body: bytes, now: float) -> None:
        code, _, text = body.partition(b"\0")
        error = ServerError(code.decode("utf-8", "replace"), text.decode("utf-8", "replace"))
        if not link.awaited:
            # It answers nothing that was asked, so it says why the connection is about to end.
            link.reason = str(error)
            return
        item = link.awaited[0]
        if isinstance(item, Hint):
            link.takes_hints = False
        if error.code == SHUTDOWN:
            link.reason = str(error)
        if not item.done and not (
            error.code == SHUTDOWN and isinstance(item, TaskRecord) and self._place_elsewhere(link, item, now)
        ):
            self._fail(item, error, now)
        link.awaited.popleft()

    def _told(self, link: Link, line: bytes, now: float) -> None:
        inquiry = link.awaited[0] if link.awaited else None
        if isinstance(inquiry, Inquiry) and inquiry.take(line):
            inquiry.done = True
            if link.inquiries is not None:
                link.inquiries.answered(inquiry, now)
            link.awaited.popleft()

    def _answered(self, link: Link, type: int, body: bytes) -> None:
        question = self._next_awaited(link, type)
        assert isinstance(question, Question)
        if type == p.OPTION_RES:
            link.options_unanswered = 0
        if isinstance(question, Hint) and question.task is not None:
            _take_out(link, question.task)
        if not question.done:
            question.result = body
            question.done = True
            if question._waiters is not None:
                self._wake(question)
        link.awaited.popleft()


def _take_out(link: Link, task: TaskRecord) -> None:
    """Forget a task that its server has withdrawn; others may share its job."""
    job = link.jobs.get(task._handle)
    if isinstance(job, Shared):
        if task in job.tasks:
            job.tasks.remove(task)
        if job.tasks:
            job.rewind()
            return
    if job is task or isinstance(job, Shared):
        del link.jobs[task._handle]
