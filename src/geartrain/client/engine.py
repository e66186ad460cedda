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

from collections.abc import Sequence
from typing import Final

from ..errors import (
    ClosedError,
    ConnectionLostError,
    JobLostError,
    NoServersError,
    ProtocolError,
    WaitTimeoutError,
)
from ..wire import packets as p
from ..wire.address import Address
from ..wire.codec import request
from ..wire.parser import Parser
from .answers import Answers
from .inquiry import Inquiries
from .link import CONNECTING, DOWN, UP, Hint, Link, Question, Shared
from .record import TaskRecord, packet_of
from .routing import Router
from .states import FAILED, NEW, SUBMITTED, WAITING, TaskState

CHUNK: Final = 128 * 1024
"""Bytes that are made ready for one write, more only if a single workload is larger. What a server has not
taken yet beyond that waits as tasks, not as bytes."""
OPTION_ATTEMPTS: Final = 2
"""Connections that may end over an option before options are given up for that server. The first may be one
to a server that was killed at that moment, or to a proxy without a server. On the second the server has just
answered an ECHO."""
MAX_LOSSES: Final = 10
"""Connections that a foreground task may lose before it is given up: it may be what ends them."""
PROBE: Final = b"geartrain probe"
SHORTEST_EXPIRY: Final = 0.001
"""Seconds; to the server 0 is never."""


class Engine(Answers):
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
        super().__init__(wall_offset)
        self.links = [Link(server) for server in servers]
        self.router = Router(self.links, by_unique)
        self.options = list(options)
        self.closed = False
        # What the shell has to open and to close.
        self.wanted: list[Link] = []
        self.unwanted: list[Link] = []
        self._prefix = prefix
        self._connect_timeout = connect_timeout
        self._probe_interval = probe_interval
        self._probe_timeout = probe_timeout
        self._attempts = 0
        self.withdraws = False
        """Whether a withdrawal waits to be written, for which no call may wait."""

    @property
    def is_owed(self) -> bool:
        """Whether any server owes an answer or a result."""
        return any(link.jobs or link.awaited for link in self.links)

    # What callers want

    def submit(self, task: TaskRecord, now: float, pinned: Link | None = None) -> None:
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
        question._since = self._attempts
        self._enqueue(link, question, now)

    def inquire(self, task: TaskRecord, now: float) -> None:
        """Ask a task's server why it takes so long, for `timed_out`."""
        link = task._link
        if link is None or link.state != UP or task._pinned is not None or task.done:
            return
        if link.inquiries is None:
            link.inquiries = Inquiries()
        inquiry = link.inquiries.new(self._name_of(task), now)
        if inquiry is not None:
            self._enqueue(link, inquiry, now)

    def timed_out(self, message: str, task: TaskRecord, now: float) -> WaitTimeoutError:
        """The error for those who waited for a task in vain, with what its server has told."""
        link = task._link
        if task.state is WAITING and link is not None and link.state == CONNECTING:
            message += f": there is no connection to {link.name} yet"
        inquiries = None if link is None or link.state != UP else link.inquiries
        found = None if inquiries is None else inquiries.find(self._name_of(task), now)
        if found is None:
            return WaitTimeoutError(message, function=task.function)
        return WaitTimeoutError(message, function=task.function, workers=found.workers, waiting=found.waiting)

    def _name_of(self, task: TaskRecord) -> bytes:
        return self._prefix + task.function.encode("utf-8", "surrogateescape")

    def abandon(self, task: TaskRecord, now: float) -> None:
        """Nobody waits for that task any more."""
        if not task.done:
            self._end(task, TaskState.CANCELLED, None, now)

    def _withdraw(self, task: TaskRecord) -> None:
        link = task._link
        if link is None or link.state != UP or not link.takes_hints or task._pinned is not None:
            return
        job = link.jobs.get(task._handle)
        if job is task or (isinstance(job, Shared) and task in job.tasks):
            link.queue.append(Hint(b"withdraw=" + task._handle, task))
            self.withdraws = True

    def close(self, now: float) -> None:
        """End everything; what was not finished fails with `ClosedError`."""
        self.closed = True
        for link in self.links:
            for item in _owed(link):
                self._fail(item, ClosedError(), now)
            _clear(link)
            if link.state != DOWN:
                # An attempt to connect ends with it too, even while its server's name is looked up.
                link.state = DOWN
                self.unwanted.append(link)
        self.wanted.clear()

    def forget(self, reason: str, now: float) -> None:
        """All connections are gone, and nothing is to be done anew."""
        self.wanted.clear()
        self.unwanted.clear()
        for link in self.links:
            link.state = DOWN
            link.channel = None
            for item in _owed(link):
                self._fail(item, ConnectionLostError(link.name, reason), now)
            _clear(link)

    # What shells tell

    def connected(self, link: Link, now: float) -> None:
        """A wanted connection is open."""
        link.state = UP
        link.reason = ""
        link.parser = Parser(p.RESPONSE)
        link.heard_at = now
        link.probed_at = None
        link.welcomed = False
        link.is_leaving = False
        link.unsent = 0
        link.inquiries = None
        link.takes_hints = True
        if link.options_unanswered < OPTION_ATTEMPTS:
            for option in reversed(self.options):
                link.queue.appendleft(Question(p.OPTION_REQ, option, p.OPTION_RES))
            if link.options_unanswered:
                link.queue.appendleft(Question(p.ECHO_REQ, PROBE, p.ECHO_RES))
        if link.address.token:
            link.queue.appendleft(Question(p.OPTION_REQ, b"token=" + link.address.token, p.OPTION_RES))

    def outgoing(self, link: Link, now: float) -> bytes:
        """The bytes to write next, empty if there is nothing; what is in them counts as sent."""
        queue = link.queue
        if not queue:
            return b""
        if not link.awaited and not link.jobs:
            link.heard_at = now
        awaited = link.awaited
        parts: list[bytes] = []
        size = 0
        while queue and size < CHUNK:
            item = queue[0]
            if item.done:
                queue.popleft()
                continue
            packet = self._packet_of(item)
            if isinstance(item, TaskRecord):
                item.state = SUBMITTED
                if item.expires is not None and link.takes_hints:
                    hint = Hint(b"expires=%.3f" % max(item.expires, SHORTEST_EXPIRY))
                    awaited.append(hint)
                    parts.append(self._packet_of(hint))
                    size += len(parts[-1])
            if item._is_observed:
                self._wake(item)
            awaited.append(item)
            queue.popleft()
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
            if link.is_leaving and link.queue and not (link.awaited or link.jobs):
                self._drop(link, link.reason, now)
        except ProtocolError as error:
            self.router.fails(link, now)
            # A server that sends such bytes for a job may do so each time that the job is done.
            self._drop(link, str(error), now, losses=MAX_LOSSES // 2)

    def lost(self, link: Link, reason: str, now: float, losses: int = 1, *, blamed: bool = True) -> None:
        """A connection is gone, or could not be opened. What it owed is placed anew or fails.

        Args:
            losses: as how many it counts for the tasks that were sent.
            blamed: whether it may be the server's fault.
        """
        if link.state == DOWN:
            return
        link.is_slow_to_fail = False
        first = link.awaited[0] if link.awaited else None
        if blamed and link.state == UP and _is_option(first):
            # A server that is alive and yet ends the connection can't bear the option.
            link.options_unanswered = OPTION_ATTEMPTS if link.welcomed and link.options_unanswered else 1
        if blamed and (link.state == CONNECTING or not link.welcomed):
            # A server that takes a connection and ends it without a word is no better than none.
            if link.state == CONNECTING:
                link.options_unanswered = 0  # it was going down
            link.failed = link.attempt
            self.router.fails(link, now)
        # What the server said last explains more than that the connection ended.
        link.reason = f"{link.reason} ({reason})" if link.state == UP and link.reason else reason
        link.state = DOWN
        items, unsent = _owed(link), {*link.queue, *self._cut_off(link)}
        _clear(link)
        try:
            for item in items:
                if not item.done:
                    self._replace(link, item, 0 if item in unsent else losses, now)
        except BaseException:
            # A signal's handler raised: what was not reached waits here, for the next connection or its end.
            placed = {item for other in self.links for item in other.queue}
            for item in items:
                if not item.done and item not in placed:
                    self._enqueue(link, item, now)
            raise

    def tick(self, now: float) -> None:
        """Time has passed: end what has run out of it, and probe servers that have been silent."""
        self._expire(now)
        for link in self.links:
            due = self._due(link)
            if due is None or due > now:
                continue
            if link.state == CONNECTING:
                self._drop(link, f"no connection within {self._connect_timeout:g} s", now)
                link.is_slow_to_fail = True
            elif link.probed_at is None:
                link.probed_at = now
                link.queue.appendleft(Question(p.ECHO_REQ, PROBE, p.ECHO_RES))
            else:
                self.router.fails(link, now)
                self._drop(link, f"no sign of life for {now - link.heard_at:.0f} s", now)
                link.is_slow_to_fail = True

    @property
    def next_time(self) -> float | None:
        """When `tick` is due next, None if nothing waits for time to pass."""
        next = self._next_limit()
        for link in self.links:
            due = self._due(link)
            if due is not None and (next is None or due < next):
                next = due
        return next

    # Placing

    def _place(self, task: TaskRecord, now: float) -> None:
        """Queue a task on the link that it is for, or fail it if there is none."""
        link = task._pinned or self.router.choose(task, task._since, now)
        if link is None:
            reasons = {link.name: link.reason for link in self.links}
            self._end(task, FAILED, NoServersError(reasons), now)
            return
        task.state = WAITING
        task._link = link
        self._enqueue(link, task, now)

    def _place_elsewhere(self, link: Link, task: TaskRecord, now: float) -> bool:
        link.is_leaving = True
        other = None if task._pinned is not None else self.router.choose(task, task._since, now)
        if other is None:
            return False
        if other is not link:
            self._place(task, now)
            return True
        # A new connection may reach the server that takes its place. Jobs that run keep this one.
        if link.jobs or task._losses:
            return False
        task._losses += 1
        task.state = WAITING
        self._enqueue(link, task, now)
        return True

    def _enqueue(self, link: Link, item: TaskRecord | Question, now: float) -> None:
        link.queue.append(item)
        if link.state == DOWN:
            link.state = CONNECTING
            self._attempts += 1
            link.attempt = self._attempts
            link.connect_by = now + self._connect_timeout
            self.wanted.append(link)

    def _replace(self, link: Link, item: TaskRecord | Question, losses: int, now: float) -> None:
        """What a lost link owed: find another place for it, or fail it. `losses` is 0 if it was not sent."""
        lost = ConnectionLostError(link.name, link.reason)
        if isinstance(item, Question) or item._pinned is not None:
            self._ask_again(link, item, losses, lost, now)
            return
        item._handle = b""
        item.numerator = item.denominator = 0
        if losses:
            item._losses += losses
            item._since = self._attempts
            if item.background:
                self._retry_or_fail(item, lost, now)
                return
            if item._losses >= MAX_LOSSES:
                error = JobLostError(f"given up, since the connection is lost each time; {lost}")
                self._fail(item, error, now)
                return
        self._place(item, now)

    def _ask_again(
        self, link: Link, item: TaskRecord | Question, losses: int, lost: ConnectionLostError, now: float
    ) -> None:
        """Put a question to the same server once more, on a new connection, or fail it.

        A question changes nothing at the server, so it may be asked twice.
        """
        if losses and item._since >= 0:
            item._losses += 1
            item._since = self._attempts
        if item._losses > 1 or link.failed > item._since:
            self._fail(item, lost, now)
            return
        if isinstance(item, TaskRecord):
            item.state = WAITING
            item._handle = b""
        self._enqueue(link, item, now)

    def _cut_off(self, link: Link) -> list[TaskRecord | Question]:
        """The last of what was made ready, which did not reach the socket to the last byte."""
        items: list[TaskRecord | Question] = []
        left = link.unsent
        for item in reversed(link.awaited):
            if left <= 0:
                break
            items.append(item)
            left -= len(self._packet_of(item))
        link.unsent = 0
        return items

    def _packet_of(self, item: TaskRecord | Question) -> bytes:
        if isinstance(item, TaskRecord):
            # Pinned tasks are for the server's own functions, which have no prefix.
            return packet_of(item, b"" if item._pinned else self._prefix)
        return request(item.type, item.body) if item.type else item.body

    def _drop(self, link: Link, reason: str, now: float, losses: int = 1) -> None:
        self.unwanted.append(link)
        self.lost(link, reason, now, losses)

    def _due(self, link: Link) -> float | None:
        """When something has to be done about a link's silence."""
        if link.state == CONNECTING:
            return link.connect_by
        if link.state == UP and (link.awaited or link.jobs or link.queue):
            if link.probed_at is not None:
                return link.probed_at + self._probe_timeout
            return link.heard_at + self._probe_interval
        return None


def _is_option(item: TaskRecord | Question | None) -> bool:
    return isinstance(item, Question) and item.type == p.OPTION_REQ and not isinstance(item, Hint)


def _owed(link: Link) -> list[TaskRecord | Question]:
    """All that a link has, once each, in the order in which it is to be done, what was sent first."""
    items: list[TaskRecord | Question] = []
    for job in link.jobs.values():
        if isinstance(job, Shared):
            items += job.tasks
        else:
            items.append(job)
    items += link.awaited
    items += link.queue
    # What a signal's exception caught on its way from one to the next is in both.
    return list(dict.fromkeys(items))


def _clear(link: Link) -> None:
    link.jobs.clear()
    link.awaited.clear()
    link.queue.clear()
