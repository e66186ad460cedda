"""One server to a journal: a lock file beside it that names its holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Final

from ..errors import JournalError

SUFFIX: Final = ".lock"
LOOKS: Final = 5
"""How often a lock is tried: `holder` may have it for an instant."""
BETWEEN_LOOKS: Final = 0.02
"""Seconds."""


class Lock:
    """The right to write a journal. The system takes it back when the process ends, however it ends.

    Args:
        path: the journal's.
    """

    def __init__(self, path: str) -> None:
        self._journal = path
        self._path = path + SUFFIX
        self._fd = -1

    def acquire(self) -> None:
        """Take it, or take it again if the lock file was deleted meanwhile.

        Raises:
            JournalError: another process has it, or the lock file can't be made.
        """
        while not self._is_held():
            self.release()
            try:
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise JournalError(
                    f"{self._path} can't be made ({error.strerror}): check that its folder exists and that "
                    "this user may write there"
                ) from error
            if not _lock(fd):
                holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                raise JournalError(
                    f"{self._journal} is in use by the process {holder}: stop that server first, or give "
                    "this one a journal of its own"
                )
            # Its last holder may have deleted it between our two calls: then look again.
            self._fd = fd
        with contextlib.suppress(OSError):  # a full disk: it is held all the same
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Give it back, if it was taken."""
        if self._fd < 0:
            return
        if self._is_held():
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        os.close(self._fd)
        self._fd = -1

    def _is_held(self) -> bool:
        if self._fd < 0:
            return False
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except OSError:
            return False


def _lock(fd: int) -> bool:
    for _ in range(LOOKS):
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(BETWEEN_LOOKS)
    return False


def holder(path: str) -> int:
    """The process that holds the journal's lock; 0 if none does."""
    try:
        fd = os.open(path + SUFFIX, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        with contextlib.suppress(ValueError):
            return int(os.pread(fd, 20, 0))
        return -1
    else:
        return 0
    finally:
        os.close(fd)
