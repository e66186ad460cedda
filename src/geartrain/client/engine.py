"""What a client does with packets, connections and time, as a state machine without I/O.

A shell owns the sockets. It opens the links in `wanted` and closes those in `unwanted`, writes what
`outgoing` gives, and tells what happens with `connected`, `received`, `lost` and `tick`; `next_time` says
when the next tick is due. Whoever waits for a task, a question or a group leaves a waiter with it; those
that are to be looked after turn up in `news`. Time comes in as an argument, in seconds on a clock that never
jumps.

What becomes of a task when its connection breaks: a foreground task, and whatever was not sent yet, is
submitted again, to the next server. A background task that was sent and not acknowledged may or may not have
been queued; it is submitted again only if its `retry_count` says so, and fails otherwise.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, Final

from ..errors import (
    ClosedError,
    ConnectionLostError,
    GeartrainError,
    JobException,
    JobFailed,
    JobLostError,
    MalformedPacketError,
    NoServersError,
    ProtocolError,
    ServerError,
    WaitTimeoutError,
)
from ..wire import packets as p
from ..wire.address import Address
from ..wire.codec import arguments, request
from ..wire.parser import Parser
from .group import Group
from .link import CONNECTING, DOWN, UP, Link, Question, Shared
from .routing import Router
from .task import CREATED, FAILED, NEW, RUNNING, SUBMITTED, SUCCEEDED, WAITING, Task, TaskState

CHUNK: Final = 128 * 1024
"""Bytes that are made ready for one write, more only if a single workload is larger. What a server has not
taken yet beyond that waits as tasks, not as bytes."""
MAX_LOSSES: Final = 10
"""Connections that a foreground task may lose before it is given up: it may be what ends them."""
PROBE: Final = b"geartrain probe"


class Engine:
    """The state of one client.

    Args:
        servers: at least one.
        by_unique: tasks go to the server that their unique hashes to; else all go to one, which changes when
            it fails.
        prefix: what all functions begin with, its tab included.
        options: what every new connection asks for.
        connect_timeout: seconds that opening a connection may take.
        probe_interval: seconds without a sign of life from a server that owes something, after which it is
            asked for one.
        probe_timeout: seconds that it has for the answer.
        wall_offset: what is added to the clock to get seconds since the epoch.
    """

    def __init__(
        self,
        servers: Sequence[Address],
        *,
        by_unique: bool,
        prefix: bytes,
        options: Sequence[bytes],
        connect_timeout: float,
        probe_interval: float,
        probe_timeout: float,
        wall_offset: float = 0.0,
    ) -> None:
        self.links = [Link(server) for server in servers]
        self.router = Router(self.links, by_unique)
        self.options = list(options)
        self.closed = False
        # What the shell has to open, to close, and to wake.
        self.wanted: list[Link] = []
        self.unwanted: list[Link] = []
        self.news: list[Any] = []
        self._prefix = prefix
        self._connect_timeout = connect_timeout
        self._probe_interval = probe_interval
        self._probe_timeout = probe_timeout
        self._wall_offset = wall_offset
        self._attempts = 0
        # Time limits of tasks; those that have ended leave theirs behind, so they are counted.
        self._timers: list[tuple[float, int, Task]] = []
        self._live_timers = 0
        self._timer_number = 0

    # What callers want

    def submit(self, task: Task, now: float, pinned: Link | None = None) -> None:
        """Take a new task on; `pinned` names the only server it may go to.

        Raises:
            ClosedError: the client was closed.
            ValueError: the task was used before.
        """
        if self.closed:
            raise ClosedError
        if task.state is not NEW:
            raise ValueError(f"{task!r} was submitted before; make a new one")
        task.submitted_at = now + self._wall_offset
        task._pinned = pinned
        task._since = self._attempts
        if task.timeout is not None:
            self._set_timer(task, now + task.timeout)
        self._place(task, now)

    def ask(self, link: Link, question: Question, now: float) -> None:
        """Put a question to one server.

        Raises:
            ClosedError: the client was closed.
        """
        if self.closed:
            raise ClosedError
        self._enqueue(link, question, now)

    def abandon(self, task: Task, now: float) -> None:
        """Nobody waits for that task any more."""
        if not task.done:
            self._end(task, TaskState.CANCELLED, None, now)

    def close(self, now: float) -> None:
        """End everything; what was not finished fails with `ClosedError`."""
        if self.closed:
            return
        self.closed = True
        for link in self.links:
            for item in self._take_all(link):
                self._fail(item, ClosedError(), now)
            if link.state != DOWN:
                self.unwanted.append(link)
        self.wanted.clear()

    # What shells tell

    def connected(self, link: Link, now: float) -> None:
        """A wanted connection is open."""
        link.state = UP
        link.reason = ""
        link.parser = Parser(p.RESPONSE)
        link.heard_at = now
        link.probed_at = None
        link.welcomed = False
        if not link.options_refused:
            for option in reversed(self.options):
                link.queue.appendleft(Question(p.OPTION_REQ, option, p.OPTION_RES))

    def outgoing(self, link: Link, now: float) -> bytes:
        """The bytes to write next, empty if there is nothing; what is in them counts as sent."""
        queue = link.queue
        if not queue:
            return b""
        if not link.awaited and not link.jobs:
            link.heard_at = now
        awaited = link.awaited
        prefix = self._prefix
        parts: list[bytes] = []
        size = 0
        while queue and size < CHUNK:
            item = queue.popleft()
            if item.done:
                continue
            if isinstance(item, Task):
                # Pinned tasks are for the server's own functions, which have no prefix.
                packet = request(item._type, item._body(b"" if item._pinned else prefix))
                item.state = SUBMITTED
            else:
                packet = request(item.type, item.body)
            if item._waiters is not None:
                self._wake(item)
            awaited.append(item)
            parts.append(packet)
            size += len(packet)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def wrote(self, link: Link, now: float) -> None:
        """A full socket has taken bytes again: a sign of life while a large workload travels."""
        link.heard_at = now
        link.probed_at = None

    def received(self, link: Link, data: bytes, now: float) -> None:
        """Bytes have come from a server. If they make no sense the link ends up in `unwanted`, lost."""
        link.heard_at = now
        link.probed_at = None
        if not link.welcomed:
            link.welcomed = True
            self.router.works(link)
        try:
            try:
                packets = link.parser.feed(data)
            except ProtocolError as error:
                self._act(link, error.packets, now)
                raise
            self._act(link, packets, now)
        except ProtocolError as error:
            self.router.fails(link, now)
            self._drop(link, str(error), now)

    def lost(self, link: Link, reason: str, now: float) -> None:
        """A connection is gone, or could not be opened. What it owed is placed anew or fails."""
        if link.state == DOWN:
            return
        if link.state == CONNECTING or not link.welcomed:
            # A server that takes a connection and ends it without a word is no better than none, unless it
            # is an option that it can't bear.
            first = link.awaited[0] if link.awaited else None
            if link.state == UP and isinstance(first, Question) and first.type == p.OPTION_REQ:
                link.options_refused = True
            self.router.fails(link, now)
        # What the server said last explains more than that the connection ended.
        link.reason = f"{link.reason} ({reason})" if link.state == UP and link.reason else reason
        link.state = DOWN
        unsent = len(link.queue)
        items = self._take_all(link)
        sent = len(items) - unsent
        for number, item in enumerate(items):
            if not item.done:
                self._replace(link, item, number < sent, now)

    def tick(self, now: float) -> None:
        """Time has passed: end what has run out of it, and probe servers that have been silent."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            task = heapq.heappop(timers)[2]
            if not task.done:
                error = WaitTimeoutError(f"{task.function}: no result within {task.timeout:g} s")
                self._end(task, TaskState.TIMED_OUT, error, now)
        for link in self.links:
            due = self._due(link)
            if due is None or due > now:
                continue
            if link.state == CONNECTING:
                self._drop(link, f"no connection within {self._connect_timeout:g} s", now)
            elif link.probed_at is None:
                link.probed_at = now
                link.queue.appendleft(Question(p.ECHO_REQ, PROBE, p.ECHO_RES))
            else:
                self.router.fails(link, now)
                self._drop(link, f"no sign of life for {now - link.heard_at:.0f} s", now)

    @property
    def next_time(self) -> float | None:
        """When `tick` is due next, None if nothing waits for time to pass."""
        next = self._timers[0][0] if self._timers else None
        for link in self.links:
            due = self._due(link)
            if due is not None and (next is None or due < next):
                next = due
        return next

    # Placing

    def _place(self, task: Task, now: float) -> None:
        """Queue a task on the link that it is for, or fail it if there is none."""
        link = task._pinned or self.router.choose(task, task._since, now)
        if link is None:
            reasons = {link.name: link.reason for link in self.links}
            self._end(task, FAILED, NoServersError(reasons), now)
            return
        task.state = WAITING
        task._link = link
        self._enqueue(link, task, now)

    def _enqueue(self, link: Link, item: Task | Question, now: float) -> None:
        link.queue.append(item)
        if link.state == DOWN:
            link.state = CONNECTING
            self._attempts += 1
            link.attempt = self._attempts
            link.connect_by = now + self._connect_timeout
            self.wanted.append(link)

    def _replace(self, link: Link, item: Task | Question, was_sent: bool, now: float) -> None:
        """What a lost link owed: find another place for it, or fail it."""
        lost = ConnectionLostError(link.name, link.reason)
        if isinstance(item, Question) or item._pinned is not None:
            self._fail(item, lost, now)
            return
        item._handle = b""
        if was_sent:
            item._losses += 1
            item._since = self._attempts
            if item.background:
                self._retry_or_fail(item, lost, now)
                return
            if item._losses >= MAX_LOSSES:
                self._fail(item, JobLostError(f"lost {item._losses} connections, the last to {lost}"), now)
                return
        self._place(item, now)

    def _take_all(self, link: Link) -> list[Task | Question]:
        """Take everything from a link in the order in which it is to be done, what was sent first."""
        items: list[Task | Question] = []
        for job in link.jobs.values():
            if isinstance(job, Shared):
                items += job.tasks
            else:
                items.append(job)
        items += link.awaited
        items += link.queue
        link.jobs.clear()
        link.awaited.clear()
        link.queue.clear()
        return items

    def _drop(self, link: Link, reason: str, now: float) -> None:
        self.unwanted.append(link)
        self.lost(link, reason, now)

    def _due(self, link: Link) -> float | None:
        """When something has to be done about a link's silence."""
        if link.state == CONNECTING:
            return link.connect_by
        if link.state == UP and (link.awaited or link.jobs or link.queue):
            if link.probed_at is not None:
                return link.probed_at + self._probe_timeout
            return link.heard_at + self._probe_interval
        return None

    # What packets do

    def _act(self, link: Link, packets: list[tuple[int, bytes]], now: float) -> None:
        jobs = link.jobs
        for type, body in packets:
            if type == p.JOB_CREATED:
                self._created(link, body, now)
            elif type == p.WORK_COMPLETE:
                handle, nul, result = body.partition(b"\0")
                if not nul:
                    raise MalformedPacketError("WORK_COMPLETE takes 2 arguments, got 1")
                job = jobs.pop(handle, None)
                if isinstance(job, Task):
                    if not job.done:
                        self._complete(job, result, now)
                elif job is not None:
                    for task in job.tasks:
                        if not task.done:
                            self._complete(task, result, now)
            elif type == p.WORK_FAIL or type == p.WORK_EXCEPTION:
                self._failed(link, type, body, now)
            elif type == p.WORK_STATUS or type == p.WORK_DATA or type == p.WORK_WARNING:
                self._progressed(link, type, body, now)
            elif type == p.ERROR:
                self._refused(link, body, now)
            elif type in _ANSWERS:
                self._answered(link, type, body)
            # Whatever else there is, a client has no use for.

    def _next_awaited(self, link: Link, type: int) -> Task | Question:
        if not link.awaited or link.awaited[0]._answer != type:
            raise ProtocolError(f"{p.name_of(type)} came, and nothing it could answer was sent")
        return link.awaited.popleft()

    def _created(self, link: Link, handle: bytes, now: float) -> None:
        task = self._next_awaited(link, p.JOB_CREATED)
        assert isinstance(task, Task)
        if not task.background:
            # Those that have ended meanwhile too, since the server deals them their copies of the events.
            job = link.jobs.get(handle)
            if job is None:
                link.jobs[handle] = task
            elif isinstance(job, Shared):
                job.tasks.append(task)
            else:
                link.jobs[handle] = Shared([job, task])
        if task.done:
            return
        task._handle = handle
        task.created_at = now + self._wall_offset
        task.state = CREATED
        self._call(task, "on_created")
        if task.background:
            self._end(task, CREATED, None, now)
        elif task._waiters is not None:
            self._wake(task)

    def _complete(self, task: Task, result: bytes, now: float) -> None:
        task.result = result
        self._call(task, "on_complete", result)
        self._end(task, SUCCEEDED, None, now)

    def _failed(self, link: Link, type: int, body: bytes, now: float) -> None:
        handle, nul, data = body.partition(b"\0")
        if type == p.WORK_EXCEPTION and not nul:
            raise MalformedPacketError("WORK_EXCEPTION takes 2 arguments, got 1")
        job = link.jobs.pop(handle, None)
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

    def _retry_or_fail(self, task: Task, error: GeartrainError, now: float) -> None:
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
        found = arguments(type, body)
        job = link.jobs.get(found[0])
        if job is None:
            return
        task = job.next() if isinstance(job, Shared) else job
        if task.done:
            return
        if task.state is not RUNNING:
            task.state = RUNNING
            task.started_at = now + self._wall_offset
        if type == p.WORK_STATUS:
            try:
                task.numerator, task.denominator = int(found[1]), int(found[2])
            except ValueError:
                raise MalformedPacketError(f"a status of {found[1]!r} of {found[2]!r}") from None
            self._call(task, "on_status", task.numerator, task.denominator)
        elif type == p.WORK_DATA:
            if task._chunks is not None:
                task._chunks.append(found[1])
            self._call(task, "on_data", found[1])
        else:
            self._call(task, "on_warning", found[1])
        if task._waiters is not None:
            self._wake(task)

    def _refused(self, link: Link, body: bytes, now: float) -> None:
        code, _, text = body.partition(b"\0")
        error = ServerError(code.decode("utf-8", "replace"), text.decode("utf-8", "replace"))
        if not link.awaited:
            # It answers nothing that was asked, so it says why the connection is about to end.
            link.reason = str(error)
            return
        item = link.awaited.popleft()
        if not item.done:
            self._fail(item, error, now)

    def _answered(self, link: Link, type: int, body: bytes) -> None:
        question = self._next_awaited(link, type)
        assert isinstance(question, Question)
        if not question.done:
            question.result = body
            question.done = True
            if question._waiters is not None:
                self._wake(question)

    # How tasks end

    def _fail(self, item: Task | Question, error: GeartrainError, now: float) -> None:
        if item.done:
            return
        if isinstance(item, Task):
            self._end(item, FAILED, error, now)
            return
        item.failure = error
        item.done = True
        if item._waiters is not None:
            self._wake(item)

    def _end(self, task: Task, state: TaskState, failure: GeartrainError | None, now: float) -> None:
        task.state = state
        task.done = True
        task.finished_at = now + self._wall_offset
        if failure is not None:
            task.failure = failure
            self._call(task, "on_fail", failure)
        if task._deadline is not None:
            self._forget_timer(task)
        if task._waiters is not None:
            self._wake(task)
        group = task._group
        if group is not None:
            group.remaining -= 1
            if not group.remaining and group._waiters is not None:
                self._wake(group)

    def _call(self, task: Task, name: str, *args: object) -> None:
        """A callback is due, if the task has it: whoever waits for its set calls it."""
        callbacks = task._callbacks
        if callbacks is None or task._group is None:
            return
        callback = callbacks.get(name)
        if callback is not None:
            task._group.calls.append((callback, (task, *args)))
            if task._group._waiters is not None:
                self._wake(task._group)

    def _wake(self, watched: Task | Question | Group) -> None:
        if watched._waiters is not None:
            self.news += watched._waiters
            watched._waiters = None

    # Time limits

    def _set_timer(self, task: Task, deadline: float) -> None:
        task._deadline = deadline
        self._timer_number += 1
        self._live_timers += 1
        heapq.heappush(self._timers, (deadline, self._timer_number, task))

    def _forget_timer(self, task: Task) -> None:
        task._deadline = None
        self._live_timers -= 1
        if len(self._timers) > 2 * self._live_timers + 1024:
            self._timers = [timer for timer in self._timers if not timer[2].done]
            heapq.heapify(self._timers)


_ANSWERS: Final = frozenset({p.STATUS_RES, p.STATUS_RES_UNIQUE, p.OPTION_RES, p.ECHO_RES})
