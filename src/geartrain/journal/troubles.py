"""What went wrong with a journal's file, as a sentence that says what to do."""

from __future__ import annotations

import sqlite3

from ..errors import JournalError

_PRIMARY = 0xFF  # the low byte of an extended result code


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def is_full(error: sqlite3.Error) -> bool:
    """Whether there was no room for it."""
    return code_of(error) == sqlite3.SQLITE_FULL


def full(path: str) -> JournalError:
    """There is no room."""
    return JournalError(
        f"no room is left for {path}: free some on its disk, and new jobs are taken again by themselves"
    )


def trouble(path: str, error: sqlite3.Error) -> JournalError:
    """The sentence for what SQLite says."""
    name = getattr(error, "sqlite_errorname", "")
    said = f"{error} ({name})" if name else str(error)
    match code_of(error):
        case sqlite3.SQLITE_FULL:
            return full(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return JournalError(f"{path} is locked by another program: end what that program does with it")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return JournalError(
                f"{path} can't be written: check its permissions and those of its folder, and whether its "
                "disk is mounted read-only"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return JournalError(
                f"{path} can't be opened: check that its folder exists and that this user may read and write "
                "there"
            )
        case _ if is_damage(error):
            return damaged(path, said)
        case sqlite3.SQLITE_IOERR:
            return JournalError(f"the disk fails {path}: {said}; look at the system's log and at the disk")
        case _:
            return JournalError(f"{path} can't be used: {said}")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is not as it was written."""
    return code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def lines_of(said: str) -> list[str]:
    """What SQLite says about a damaged file, which may be several lines with a heading."""
    return [line for line in said.splitlines() if line and not line.startswith("*** ")]


def unreadable(path: str) -> JournalError:
    """Nothing can be saved of the file with what we have."""
    return JournalError(
        f"nothing in {path} can be read any more: put a copy back, or see what `sqlite3 {path} .recover` "
        "finds"
    )


def damaged(path: str, said: str) -> JournalError:
    """The file is not as it was written."""
    said = "; ".join(lines_of(said))
    return JournalError(
        f"{path} is damaged: {said}; keep a copy of it, save what can be read with `geartrain journal export "
        "--skip-damaged`, move the file away and import that into a new journal"
    )
