"""What a process has used, from the operating system's own accounting."""

from __future__ import annotations

from pathlib import Path


def cpu(pid: int) -> float:
    """Seconds of CPU that all threads of a process have used, ended ones too if there were any."""
    threads = 0
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        threads += int(schedstat.read_text().split()[0])
    return threads / 1e9


def rss(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
