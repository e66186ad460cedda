"""A load generator for any Gearman job server: one process, one epoll loop, little work per job.

    python benchmarks/load.py PORT --mode foreground --clients 16 --workers 16 --window 16 --jobs 200000

Prints one JSON line: jobs a second, the generator's own CPU and, with `--pid`, the server's CPU per job in
microseconds, from the operating system's accounting of all its threads.

Modes:
    foreground  every client keeps `window` jobs outstanding; the workers answer each with its workload
    background  every client keeps `window` submissions unacknowledged; the workers drain meanwhile
    submit      background submissions only, no worker
    drain       background jobs are queued first; only the draining is measured
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

GRAB = b"\0REQ\0\0\0\x1e\0\0\0\0"
PRE_SLEEP = b"\0REQ\0\0\0\x04\0\0\0\0"
COMPLETE = b"\0REQ\0\0\0\x0d"


def request(type: int, body: bytes) -> bytes:
    return b"\0REQ" + type.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


class Peer:
    """One connection; `receive` is given every complete packet of a chunk at once."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.socket = socket.create_connection(("127.0.0.1", load.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.rest = b""
        self.out = b""
        load.peers[self.socket.fileno()] = self
        load.epoll.register(self.socket.fileno(), select.EPOLLIN)

    def readable(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed a connection")
        if self.rest:
            data = self.rest + data
        self.rest = data[self.take(data) :]

    def take(self, data: bytes) -> int:
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        if self.out:
            self.out += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.out = data[sent:]
            self.load.epoll.modify(self.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def writable(self) -> None:
        data, self.out = self.out, b""
        self.load.epoll.modify(self.socket.fileno(), select.EPOLLIN)
        self.send(data)


class Client(Peer):
    def __init__(self, load: Load, submit: bytes, ends_with: int) -> None:
        super().__init__(load)
        self.submit = submit
        self.ends_with = ends_with

    def take(self, data: bytes) -> int:
        position, end, done = 0, len(data), 0
        ends_with = self.ends_with
        while end - position >= 12:
            after = position + 12 + int.from_bytes(data[position + 8 : position + 12], "big")
            if after > end:
                break
            type = data[position + 7]
            if type == ends_with:
                done += 1
            elif type == 19:
                raise RuntimeError(data[position:after])
            position = after
        load = self.load
        load.done += done
        if done and load.to_submit:
            again = min(done, load.to_submit)
            load.to_submit -= again
            self.send(self.submit * again)
        return position


class Worker(Peer):
    def take(self, data: bytes) -> int:
        position, end = 0, len(data)
        answers: list[bytes] = []
        while end - position >= 12:
            size = int.from_bytes(data[position + 8 : position + 12], "big")
            body = position + 12
            after = body + size
            if after > end:
                break
            type = data[position + 7]
            if type == 31:
                handle_end = data.index(b"\0", body)
                answer = data[body:handle_end] + b"\0x"
                answers.append(COMPLETE + len(answer).to_bytes(4, "big") + answer + GRAB)
                self.load.worked += 1
            elif type == 10:
                answers.append(PRE_SLEEP)
            elif type == 6:
                answers.append(GRAB)
            elif type == 19:
                raise RuntimeError(data[position:after])
            position = after
        if answers:
            self.send(b"".join(answers))
        return position


class Load:
    def __init__(self, port: int) -> None:
        self.port = port
        self.epoll = select.epoll()
        self.peers: dict[int, Peer] = {}
        self.done = 0
        self.worked = 0
        self.to_submit = 0

    def run(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not until():
            for fd, events in self.epoll.poll(5):
                peer = self.peers[fd]
                if events & select.EPOLLOUT:
                    peer.writable()
                if events & ~select.EPOLLOUT:
                    peer.readable()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.done} done, {self.worked} worked")


def server_cpu(pid: int) -> float:
    """Seconds of CPU that all threads of a process have used."""
    total = 0
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(schedstat.read_text().split()[0])
    return total / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument(
        "--mode", choices=["foreground", "background", "submit", "drain"], default="foreground"
    )
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=20000)
    parser.add_argument("--size", type=int, default=100, help="bytes of a workload")
    parser.add_argument("--sleepers", type=int, default=0, help="further workers that sleep all the time")
    parser.add_argument("--pid", type=int, default=0, help="the server's process")
    options = parser.parse_args()

    load = Load(options.port)
    function = b"bench%d" % os.getpid()
    foreground = options.mode == "foreground"
    submit = request(7 if foreground else 18, function + b"\0\0" + b"x" * options.size)
    can_do = request(1, function)

    def workers() -> None:
        for _ in range(options.sleepers):
            Worker(load).send(can_do + GRAB)
        for _ in range(options.workers if options.mode != "submit" else 0):
            Worker(load).send(can_do + GRAB)

    def start_clients() -> None:
        load.to_submit = options.jobs
        for _ in range(options.clients):
            client = Client(load, submit, 13 if foreground else 8)
            first = min(options.window, load.to_submit)
            load.to_submit -= first
            client.send(submit * first)

    if options.mode == "drain":
        start_clients()
        load.run(lambda: load.done >= options.jobs)
    cpu = server_cpu(options.pid) if options.pid else 0.0
    mine = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    if options.mode != "drain":
        workers()
        start_clients()
    else:
        workers()
    if options.mode in ("background", "drain"):
        load.run(lambda: load.worked >= options.jobs)
    else:
        load.run(lambda: load.done >= options.jobs)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "mode": options.mode,
        "jobs": options.jobs,
        "jobs_per_second": round(options.jobs / seconds),
        "generator_us_per_job": round(
            (after.ru_utime + after.ru_stime - mine.ru_utime - mine.ru_stime) / options.jobs * 1e6, 2
        ),
    }
    if options.pid:
        result["server_us_per_job"] = round((server_cpu(options.pid) - cpu) / options.jobs * 1e6, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
