"""The load generator: one process, one epoll loop, as little work for each job as Python allows.

Plain typed Python that `make bench` compiles with mypyc, so that the generator is lighter than the servers.
A `Peer` is one connection. Gearman's clients and workers are here, those of other protocols in `rivals.py`.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any, Final

from mypy_extensions import i64

CHUNK: Final = 1 << 16
"""Bytes that are read at a time: less than the C library asks the system for."""
LARGE_CHUNK: Final = 1 << 20
"""Bytes that are read at a time where a packet is larger than a chunk."""
PATIENCE: Final = 300.0
"""Seconds that a measurement may take."""

GRAB: Final = b"\0REQ\0\0\0\x1e\0\0\0\0"
PLAIN_GRAB: Final = b"\0REQ\0\0\0\x09\0\0\0\0"
PRE_SLEEP: Final = b"\0REQ\0\0\0\x04\0\0\0\0"
COMPLETE: Final = b"\0REQ\0\0\0\x0d"

CAN_DO: Final = 1
SUBMIT_JOB: Final = 7
SUBMIT_JOB_BG: Final = 18


def request(type: int, body: bytes) -> bytes:
    """One packet to a job server."""
    return b"\0REQ" + type.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


class Load:
    """The loop, and what its peers count together."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        # How workers ask for a job: with its unique, as libgearman does, or without.
        self.grab = GRAB
        self.epoll = select.epoll()
        self.peers: dict[int, Peer] = {}
        # Answers that clients got, jobs that workers did, submissions that clients still have to make.
        self.done: i64 = 0
        self.worked: i64 = 0
        self.to_submit: i64 = 0
        # Open loop: when each job was due, and how long it took from then on. Seconds.
        self.due: list[float] = []
        self.latencies: list[float] = []

    def until(self, done: int, worked: int) -> None:
        """Run until that many answers came and that many jobs were worked."""
        deadline = time.monotonic() + PATIENCE
        while self.done < done or self.worked < worked:
            self.turn(5.0)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.done} of {done} answered, {self.worked} of {worked} worked")

    def turn(self, timeout: float) -> None:
        """One turn of the loop."""
        for fd, events in self.epoll.poll(timeout):
            peer = self.peers[fd]
            if events & 4:
                peer.writable()
            if events & ~4:
                peer.readable()

    def settle(self) -> None:
        """Run until nothing has happened for a while."""
        while self.epoll.poll(0.2):
            self.turn(0.0)

    def submit_at(self, client: Client, submission: bytes, rate: float, seconds: float) -> None:
        """Open loop: submit at a fixed rate whatever comes back, then wait for what is missing.

        A job's latency counts from when it was due, also where the generator was late to submit it.
        """
        count = int(rate * seconds)
        start = time.perf_counter()
        self.due = [start + number / rate for number in range(count)]
        sent = 0
        while sent < count:
            now = time.perf_counter()
            batch: list[bytes] = []
            while sent < count and self.due[sent] <= now:
                # The job's number stands where its workload begins; the worker sends it back.
                batch.append(submission % sent)
                sent += 1
            if batch:
                client.send(b"".join(batch))
            # epoll waits whole milliseconds, so the last one before a job is due is spun away.
            wait = 0.0 if sent == count else self.due[sent] - time.perf_counter() - 0.001
            self.turn(max(0.0, wait))
        self.until(count, 0)


class Peer:
    """One connection; `take` is given the bytes so far and returns how many of them it used up."""

    def __init__(self, load: Load) -> None:
        self.load = load
        connection = socket.create_connection((load.host, load.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self.socket = connection
        self.fd: int = connection.fileno()
        # Bound once, since each is called for every job.
        self.receive: Any = connection.recv
        self.write: Any = connection.send
        # What is there of an incomplete packet, and how many bytes are known to be missing.
        self.parts: list[bytes] = []
        self.missing: i64 = 0
        self.out = b""
        load.peers[self.fd] = self
        load.epoll.register(self.fd, select.EPOLLIN)

    def readable(self) -> None:
        data: bytes = self.receive(LARGE_CHUNK if self.missing > CHUNK else CHUNK)
        if not data:
            raise ConnectionError("the server closed a connection")
        if self.parts:
            self.parts.append(data)
            self.missing -= len(data)
            if self.missing > 0:
                return
            data = b"".join(self.parts)
            self.parts = []
        used: i64 = self.take(data)
        if used < len(data):
            rest = data[used:]
            self.parts = [rest]
            self.missing = self.missing_from(rest)

    def missing_from(self, rest: bytes) -> i64:
        """How many bytes are missing to complete what `rest` begins, at least."""
        if len(rest) < 12:
            return 12 - len(rest)
        return 12 + int.from_bytes(rest[8:12], "big") - len(rest)

    def take(self, data: bytes) -> i64:
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        if self.out:
            self.out += data
            return
        try:
            sent: int = self.write(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.out = data[sent:]
            self.load.epoll.modify(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def writable(self) -> None:
        data, self.out = self.out, b""
        self.load.epoll.modify(self.fd, select.EPOLLIN)
        self.send(data)


class Submitter(Peer):
    """A client that answers each answer with its next submission."""

    def __init__(self, load: Load, submission: bytes) -> None:
        super().__init__(load)
        self.submission = submission

    def begin(self, window: int) -> None:
        """Have that many submissions outstanding from now on, as long as there are any to make."""
        first = min(window, int(self.load.to_submit))
        self.load.to_submit -= first
        if first:
            self.send(self.submission * first)

    def answered(self, count: i64) -> None:
        load = self.load
        load.done += count
        left = load.to_submit
        if left:
            again: i64 = count if count < left else left
            load.to_submit = left - again
            self.send(self.submission if again == 1 else self.submission * int(again))


class Client(Submitter):
    """A Gearman client; `ends_with` is the packet that answers a submission."""

    def __init__(self, load: Load, submission: bytes, ends_with: int) -> None:
        super().__init__(load, submission)
        self.ends_with: i64 = ends_with

    def take(self, data: bytes) -> i64:
        position: i64 = 0
        end: i64 = len(data)
        count: i64 = 0
        while end - position >= 12:
            size: i64 = (data[position + 9] << 16) | (data[position + 10] << 8) | data[position + 11]
            after: i64 = position + 12 + size
            if after > end:
                break
            type: i64 = data[position + 7]
            if type == self.ends_with:
                count += 1
                if self.load.due:
                    self.note(data[position + 12 : after])
            elif type == 19:
                raise RuntimeError(data[position:after])
            position = after
        if count:
            self.answered(count)
        return position

    def note(self, body: bytes) -> None:
        """Open loop: how long the job took whose number the worker sent back."""
        number = int(body.rpartition(b"\0")[2])
        self.load.latencies.append(time.perf_counter() - self.load.due[number])


class Worker(Peer):
    """A Gearman worker that answers each job with one byte, or with its workload's beginning."""

    def __init__(self, load: Load, echo: int = 0) -> None:
        super().__init__(load)
        self.echo = echo
        self.grab = load.grab
        # Arguments before the workload.
        self.names: i64 = 2 if load.grab == PLAIN_GRAB else 3
        self.head = b""
        self.head_for: i64 = -1

    def take(self, data: bytes) -> i64:
        position: i64 = 0
        end: i64 = len(data)
        answers = b""
        while end - position >= 12:
            body: i64 = position + 12
            # Nothing that a worker is sent here reaches 2 GB.
            size: i64 = (
                (data[position + 8] << 24)
                | (data[position + 9] << 16)
                | (data[position + 10] << 8)
                | data[position + 11]
            )
            after: i64 = body + size
            if after > end:
                break
            type: i64 = data[position + 7]
            if type == 31 or type == 11:
                handle_end: i64 = body
                while data[handle_end]:
                    handle_end += 1
                result = b"x"
                if self.echo:
                    workload = after - size + self.workload_at(data, body, after)
                    result = data[workload : workload + self.echo]
                length: i64 = handle_end - body + 1 + len(result)
                if length != self.head_for:
                    self.head_for = length
                    self.head = COMPLETE + int(length).to_bytes(4, "big")
                # Handle and the NUL after it come from the packet as they stand.
                answers += self.head + data[body : handle_end + 1] + result + self.grab
                self.load.worked += 1
            elif type == 10:
                answers += PRE_SLEEP
            elif type == 6:
                answers += self.grab
            elif type == 19:
                raise RuntimeError(data[position:after])
            position = after
        if answers:
            self.send(answers)
        return position

    def workload_at(self, data: bytes, body: i64, after: i64) -> i64:
        """Where the workload begins, behind handle, function and perhaps unique."""
        nuls: i64 = 0
        at: i64 = body
        while nuls < self.names:
            if not data[at]:
                nuls += 1
            at += 1
        return at - body
