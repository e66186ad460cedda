"""Answers of the text protocol, cut up for the cases."""

from __future__ import annotations

from tests.harness.rawwire import RawPeer


def ask(peer: RawPeer, line: str | bytes, end: bytes = b"\n") -> bytes:
    """Ask what is answered with a line, and require that nothing follows it."""
    peer.send_text(line, end)
    answer = peer.recv_line()
    peer.expect_nothing()
    return answer


def ask_list(peer: RawPeer, line: str | bytes, end: bytes = b"\n") -> list[bytes]:
    """Ask what is answered with a list, and require that nothing follows it."""
    peer.send_text(line, end)
    answer = peer.recv_lines()
    peer.expect_nothing()
    return answer


def function_status(peer: RawPeer, function: str) -> tuple[int, int, int]:
    """A function's line in `status`: all its jobs, those that run, its workers. No line is three zeros."""
    peer.send_text("status")
    for line in peer.recv_lines():
        name, *numbers = line.rsplit(b"\t", 3)
        if name == function.encode():
            total, running, workers = (int(number) for number in numbers)
            return total, running, workers
    return 0, 0, 0


def worker_line(peer: RawPeer, function: str) -> str:
    """The line in `workers` of the one that announced a function."""
    peer.send_text("workers")
    lines = [line.decode() for line in peer.recv_lines() if function.encode() in line]
    assert len(lines) == 1, lines
    return lines[0]
