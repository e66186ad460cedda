"""A doubly linked list whose links live in its members: everything costs the same at any length.

A job leaves the middle of its queue when its last client goes; a worker leaves the middle of a function's
sleepers when it disconnects. With a deque each would cost a walk, or leave a hole that has to be swept.
A member is in one chain at a time.
"""

from __future__ import annotations

from mypy_extensions import mypyc_attr


@mypyc_attr(acyclic=True)
class Link:
    """What a member of a `Chain` derives from. A member that leaves its chain leaves no cycle behind."""

    before: Link | None = None
    after: Link | None = None


class Chain:
    """The ends of one list. Whoever holds a chain knows the type of its members."""

    def __init__(self) -> None:
        self.first: Link | None = None
        self.last: Link | None = None

    def append(self, link: Link) -> None:
        """Put a member at the end."""
        last = self.last
        link.before = last
        link.after = None
        if last is None:
            self.first = link
        else:
            last.after = link
        self.last = link

    def prepend(self, link: Link) -> None:
        """Put a member at the head."""
        first = self.first
        link.after = first
        link.before = None
        if first is None:
            self.last = link
        else:
            first.before = link
        self.first = link

    def remove(self, link: Link) -> None:
        """Take out a member, wherever it is; it must be in this chain."""
        before = link.before
        after = link.after
        if before is None:
            self.first = after
        else:
            before.after = after
        if after is None:
            self.last = before
        else:
            after.before = before
        link.before = None
        link.after = None

    def pop_last(self) -> Link | None:
        """Take out the member at the end; None if there is none."""
        last = self.last
        if last is not None:
            self.remove(last)
        return last
