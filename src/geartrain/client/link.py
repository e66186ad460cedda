"""One job server as the client sees it: whether it can be reached, and what it was sent and owes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..wire import packets as p
from ..wire.address import Address
from ..wire.parser import Parser
from .record import TaskRecord
from .watched import Owed

if TYPE_CHECKING:
    from .inquiry import Inquiries

# The states of a link.
DOWN: Final = 0
CONNECTING: Final = 1
UP: Final = 2


class Question(Owed):
    """Something asked that is no job: a status, an echo, an option."""

    __slots__ = ("_losses", "_since", "body", "result", "type")

    def __init__(self, type: int, body: bytes, answer: int) -> None:
        super().__init__(answer)
        self.type = type
        self.body = body
        self.result = b""
        # As of a task. A question of the engine's own ends with its connection; it came after no attempt.
        self._losses = 0
        self._since = -1


class Hint(Question):
    """An option about a job: that it expires, or is withdrawn.

    Only geartrain's server knows these. Others refuse them, and the job goes on as without.

    Args:
        task: the task that is withdrawn.
    """

    __slots__ = ("task",)

    def __init__(self, body: bytes, task: TaskRecord | None = None) -> None:
        super().__init__(p.OPTION_REQ, body, p.OPTION_RES)
        self.task = task


class Shared:
    """Several tasks of one connection whose submissions coalesced into one job.

    The server tells of each event once for each submission, one copy after the other, so the copies are
    dealt to the tasks in turn.
    """

    __slots__ = ("_turn", "tasks")

    def __init__(self, tasks: list[TaskRecord]) -> None:
        self.tasks = tasks
        self._turn = 0

    def rewind(self) -> None:
        """Begin with the first again; a task was taken out."""
        self._turn = 0

    def next(self) -> TaskRecord:
        """Whose copy comes next."""
        task = self.tasks[self._turn]
        self._turn = (self._turn + 1) % len(self.tasks)
        return task


class Link:
    """One configured server and the connection to it, if there is one.

    A connection is a thing of the shells; `channel` is theirs to keep it in.
    """

    __slots__ = (
        "address",
        "attempt",
        "avoid_until",
        "awaited",
        "channel",
        "connect_by",
        "failed",
        "failures",
        "heard_at",
        "inquiries",
        "is_leaving",
        "is_slow_to_fail",
        "jobs",
        "name",
        "options_unanswered",
        "parser",
        "probed_at",
        "queue",
        "reason",
        "state",
        "takes_hints",
        "unsent",
        "welcomed",
    )

    def __init__(self, address: Address) -> None:
        self.address = address
        self.name = str(address)
        self.state = DOWN
        self.channel: Any = None
        # The numbers of its last connection attempt and of the last that failed, when the attempt is given
        # up, why it failed, how many did in a row, and until when others are preferred.
        self.attempt = 0
        self.failed = 0
        self.connect_by = 0.0
        self.reason = ""
        self.failures = 0
        self.avoid_until = 0.0
        # Whether it did not answer at all, so that to ask it again takes its time.
        self.is_slow_to_fail = False
        # What is to be sent; what was sent and is not answered, in order; the jobs that run, by handle.
        self.queue: deque[TaskRecord | Question] = deque()
        self.awaited: deque[TaskRecord | Question] = deque()
        self.jobs: dict[bytes, TaskRecord | Shared] = {}
        # Bytes at the end of what was made ready for the socket, which it has not taken.
        self.unsent = 0
        self.parser = Parser(p.RESPONSE)
        # Why its jobs take so long, as far as this connection was asked for that.
        self.inquiries: Inquiries | None = None
        # When it last showed a sign of life while one was waited for; when it was asked for one.
        self.heard_at = 0.0
        self.probed_at: float | None = None
        # Whether the server has refused no hint on this connection.
        self.takes_hints = True
        # Whether the server takes no new jobs, since it is about to end.
        self.is_leaving = False
        # Whether this connection has answered anything yet, and how many ended over an option.
        self.welcomed = False
        self.options_unanswered = 0

    @property
    def busy(self) -> bool:
        """Whether anything is owed by this server."""
        return bool(self.awaited or self.jobs or self.queue)
