"""Room on the disk that is kept free, so that what was accepted can end when the disk is full."""

from __future__ import annotations

import contextlib
import os
from typing import Final

SUFFIX: Final = ".ballast"
BALLAST: Final = 16 * 1024 * 1024
"""Bytes that are kept. A full disk may meet the journal with a write-ahead log of some 4 MiB that the
database has to grow by, and with a log that has to grow by as much to take the ends; then both are as large
as they have to be, and room is left."""


class Ballast:
    """A file beside the journal that is only there to be thrown overboard.

    Args:
        path: the journal's.
    """

    def __init__(self, path: str) -> None:
        self._path = path + SUFFIX
        self._folder = os.path.dirname(path) or "."
        self.is_laid = False

    def lay(self) -> bool:
        """Take the room, if it was not taken yet. Returns whether it is taken now."""
        if self.is_laid:
            return True
        try:
            found = os.stat(self._path)
            self.is_laid = found.st_size == BALLAST and found.st_blocks * 512 >= BALLAST
        except OSError:
            pass
        if not self.is_laid:
            try:
                fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                try:
                    _allocate(fd)
                finally:
                    os.close(fd)
                self.is_laid = True
            except OSError:
                self.give_up()
        return self.is_laid

    def give_up(self) -> None:
        """Free the room."""
        self.is_laid = False
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def allows(self, size: int) -> bool:
        """Whether there is room for a batch of `size` bytes: in the log, and then in the database."""
        if size <= BALLAST // 16:
            return True  # what is kept is enough for it
        system = os.statvfs(self._folder)
        return system.f_bavail * system.f_frsize >= 2 * size + size // 4


def _allocate(fd: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, BALLAST)
        return
    zeros = bytes(1024 * 1024)  # not zero to a file system that compresses, but the best there is
    for _ in range(BALLAST // len(zeros)):
        os.write(fd, zeros)
