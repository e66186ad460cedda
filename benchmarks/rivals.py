"""The same jobs as other servers express them: clients and workers for the load generator.

beanstalkd and Redis have queues with an acknowledgement, so they get the background modes. NATS passes
requests and answers on and queues nothing, so it gets the foreground ones.
"""

from __future__ import annotations

import os
from typing import Any

from mypy_extensions import i64

from .generator import Load, Peer, Submitter

NEWLINE = 10


class LineClient(Submitter):
    """Submits to a server that answers each submission with one line that begins with `good`."""

    def __init__(self, load: Load, submission: bytes, good: bytes) -> None:
        super().__init__(load, submission)
        self.good = good

    def missing_from(self, rest: bytes) -> i64:
        return 1

    def take(self, data: bytes) -> i64:
        if not data.startswith(self.good[: len(data)]):
            raise RuntimeError(data[:200])
        used: i64 = data.rfind(b"\n") + 1
        count: i64 = data.count(b"\n", 0, used)
        if count:
            self.answered(count)
        return used


class LineWorker(Peer):
    """Reads lines and the data that some of them announce; `line` is given each and what follows it."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self.answers: list[bytes] = []

    def missing_from(self, rest: bytes) -> i64:
        return 1

    def size_after(self, line: bytes) -> int:
        """Bytes of data that follow a line, -1 if none do."""
        raise NotImplementedError

    def act(self, line: bytes, data: bytes) -> None:
        raise NotImplementedError

    def take(self, data: bytes) -> i64:
        position: i64 = 0
        while True:
            newline: i64 = data.find(b"\n", position)
            if newline < 0:
                break
            line = data[position : newline - 1]
            size: i64 = self.size_after(line)
            after: i64 = newline + 1
            body = b""
            if size >= 0:
                if after + size + 2 > len(data):
                    break
                body = data[after : after + size]
                after += size + 2
            self.act(line, body)
            position = after
        if self.answers:
            self.send(b"".join(self.answers))
            self.answers = []
        return position


class BeanstalkWorker(LineWorker):
    def size_after(self, line: bytes) -> int:
        return int(line.rpartition(b" ")[2]) if line.startswith(b"RESERVED") else -1

    def act(self, line: bytes, data: bytes) -> None:
        if line.startswith(b"RESERVED"):
            self.answers.append(b"delete " + line.split(b" ")[1] + b"\r\nreserve\r\n")
            self.load.worked += 1
        elif line != b"DELETED":
            raise RuntimeError(line)


class RedisWorker(LineWorker):
    def __init__(self, load: Load, take_next: bytes) -> None:
        super().__init__(load)
        self.take_next = take_next

    def size_after(self, line: bytes) -> int:
        return int(line[1:]) if line.startswith(b"$") else -1

    def act(self, line: bytes, data: bytes) -> None:
        if line.startswith(b"$"):
            self.answers.append(resp(b"LREM", b"taken", b"1", data) + self.take_next)
            self.load.worked += 1
        elif line.startswith(b"-"):
            raise RuntimeError(line)


class NatsClient(LineWorker):
    """Counts answers like a `Submitter`, but reads them with their data."""

    def __init__(self, load: Load, submission: bytes) -> None:
        super().__init__(load)
        self.submission = submission

    def begin(self, window: int) -> None:
        first = min(window, int(self.load.to_submit))
        self.load.to_submit -= first
        self.send(self.submission * first)

    def size_after(self, line: bytes) -> int:
        return int(line.rpartition(b" ")[2]) if line.startswith(b"MSG") else -1

    def act(self, line: bytes, data: bytes) -> None:
        if line.startswith(b"MSG"):
            self.load.done += 1
            if self.load.to_submit:
                self.load.to_submit -= 1
                self.answers.append(self.submission)
        elif line == b"PING":
            self.answers.append(b"PONG\r\n")
        elif line.startswith(b"-ERR"):
            raise RuntimeError(line)


class NatsWorker(NatsClient):
    def act(self, line: bytes, data: bytes) -> None:
        if line.startswith(b"MSG"):
            self.answers.append(b"PUB " + line.split(b" ")[3] + b" 1\r\nx\r\n")
            self.load.worked += 1
        else:
            super().act(line, data)


def resp(*words: bytes) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


class Kind:
    """How one protocol makes its peers; `options` are those of `load.py`."""

    def __init__(self, load: Load, options: Any) -> None:
        self.load = load
        self.workload = b"x" * int(options.size)
        self.name = b"bench%d" % os.getpid()
        self.made = 0

    def prepare(self) -> None:
        """Nothing is there before."""


class Beanstalkd(Kind):
    def client(self) -> Submitter:
        submission = b"put 1024 0 600 %d\r\n%b\r\n" % (len(self.workload), self.workload)
        return LineClient(self.load, submission, b"INSERTED")

    def worker(self) -> Peer:
        worker = BeanstalkWorker(self.load)
        worker.send(b"reserve\r\n")
        return worker


class Redis(Kind):
    """A worker moves a job to a list of taken ones and removes it there, so that none is lost with it."""

    def client(self) -> Submitter:
        return LineClient(self.load, resp(b"LPUSH", self.name, self.workload), b":")

    def worker(self) -> Peer:
        take_next = resp(b"BLMOVE", self.name, b"taken", b"RIGHT", b"LEFT", b"0")
        worker = RedisWorker(self.load, take_next)
        worker.send(take_next)
        return worker


class Nats(Kind):
    CONNECT = b'CONNECT {"verbose":false,"pedantic":false}\r\n'

    def client(self) -> Peer:
        self.made += 1
        inbox = b"%b-%d" % (self.name, self.made)
        submission = b"PUB %b %b %d\r\n%b\r\n" % (self.name, inbox, len(self.workload), self.workload)
        client = NatsClient(self.load, submission)
        client.send(self.CONNECT + b"SUB %b 1\r\n" % inbox)
        return client

    def worker(self) -> Peer:
        worker = NatsWorker(self.load, b"")
        worker.send(self.CONNECT + b"SUB %b workers 1\r\n" % self.name)
        return worker


RIVALS: dict[str, Any] = {"beanstalkd": Beanstalkd, "redis": Redis, "nats": Nats}
