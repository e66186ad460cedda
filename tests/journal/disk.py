"""A disk for SQLite that keeps a diary, loses power, runs full, fails and is slow.

It is a thin shim around SQLite's own way to the disk (its VFS), inside the very library that the journal
uses: every write, truncation and sync of a database or a log passes through here, and nothing in the journal
knows. From the diary it tells what a power loss at any moment could have left behind.
"""

from __future__ import annotations

import ctypes
import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

SECTOR: Final = 512
"""Bytes that a disk writes as a whole or not at all."""
NAME: Final = b"geartrain-test-disk"

_Pointer = ctypes.c_void_p
_Open = ctypes.CFUNCTYPE(
    ctypes.c_int, _Pointer, _Pointer, _Pointer, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)
_Delete = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_char_p, ctypes.c_int)
_Close = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer)
_Write = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, ctypes.c_int, ctypes.c_int64)
_Truncate = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int64)
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int)


class _Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("max_path", ctypes.c_int),
        ("next", _Pointer),
        ("name", ctypes.c_char_p),
        ("app_data", _Pointer),
        ("open", _Open),
        ("delete", _Delete),
        ("others", _Pointer * 14),
    ]


class _Methods(ctypes.Structure):
    """sqlite3_io_methods, version 3."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("close", _Close),
        ("read", _Pointer),
        ("write", _Write),
        ("truncate", _Truncate),
        ("sync", _Sync),
        ("others", _Pointer * 13),
    ]


@dataclass(frozen=True)
class Event:
    """What happened: `write`, `truncate` (to `offset`), `sync`, `delete`, or a test's own `mark`."""

    kind: str
    path: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass
class Disk:
    """What passes through the shim, and what the shim makes of it."""

    diary: list[Event] = field(default_factory=list)
    fails: Callable[[str, str], int] = lambda kind, path: sqlite3.SQLITE_OK
    """Called with the kind of an event and its path; what it returns is SQLite's result, if not SQLITE_OK."""
    sync_takes: float = 0.0
    """Seconds."""

    def mark(self) -> None:
        """Note in the diary that something was promised."""
        self.diary.append(Event("mark"))

    def after_power_loss(self, at: int, chance: random.Random) -> dict[str, bytes]:
        """What may be on the disk if the power goes before the event `at`: each file's content, by path.

        What was synced is there. Of what was written since, each sector is there or not.
        """
        durable: dict[str, bytes] = {}
        pending: dict[str, list[Event]] = {}
        deleted: set[str] = set()
        for event in self.diary[:at]:
            match event.kind:
                case "write" | "truncate":
                    if event.path in deleted:
                        deleted.discard(event.path)
                        durable.pop(event.path, None)
                    pending.setdefault(event.path, []).append(event)
                case "sync":
                    if event.path not in durable:
                        # SQLite syncs a new file's folder with it.
                        for path in deleted:
                            durable.pop(path, None)
                        deleted.clear()
                    content = bytearray(durable.get(event.path, b""))
                    for earlier in pending.pop(event.path, []):
                        _apply(content, earlier)
                    durable[event.path] = bytes(content)
                case "delete":
                    pending.pop(event.path, None)
                    deleted.add(event.path)
        for path in deleted:
            if chance.random() < 0.5:
                durable.pop(path, None)
        for path, events in pending.items():
            if path not in durable and chance.random() < 0.5:
                continue  # not even its name was written
            content = bytearray(durable.get(path, b""))
            for event in events:
                for piece in _torn(event, chance):
                    _apply(content, piece)
            durable[path] = bytes(content)
        return durable


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.offset :]
        return
    content.extend(bytes(max(0, event.offset - len(content))))
    content[event.offset : event.offset + len(event.data)] = event.data


def _torn(event: Event, chance: random.Random) -> Iterator[Event]:
    fate = chance.choice(("there", "lost", "torn"))
    if fate == "there":
        yield event
    elif fate == "torn" and event.kind == "write":
        at = event.offset
        end = at + len(event.data)
        while at < end:
            next = min(end, (at // SECTOR + 1) * SECTOR)
            if chance.random() < 0.5:
                yield Event("write", event.path, at, event.data[at - event.offset : next - event.offset])
            at = next


@contextmanager
def disk() -> Iterator[Disk]:
    """Put the shim under every connection that is opened from now on, until the block ends."""
    library = _library()
    original = ctypes.cast(library.sqlite3_vfs_find(None), ctypes.POINTER(_Vfs)).contents
    shim = _Shim(original)
    library.sqlite3_vfs_register(ctypes.byref(shim.vfs), 1)
    try:
        yield shim.disk
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(shim.vfs))
        library.sqlite3_vfs_register(ctypes.byref(original), 1)


def _library() -> Any:
    """The SQLite that Python's module uses, not another copy of it."""
    import _sqlite3

    try:
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        library.sqlite3_vfs_find.restype = _Pointer
        library.sqlite3_libversion.restype = ctypes.c_char_p
    except (OSError, AttributeError):
        pytest.skip("this Python keeps its SQLite's functions to itself")
    if library.sqlite3_libversion().decode() != sqlite3.sqlite_version or sys.platform == "win32":
        pytest.skip("this Python's SQLite can't be found")
    return library


class _Shim:
    def __init__(self, original: _Vfs) -> None:
        self.disk = Disk()
        self._original = original
        self.vfs = _Vfs.from_buffer_copy(original)
        self.vfs.name = NAME
        # ctypes keeps no reference to a callback that C code has.
        self._open_callback = self.vfs.open = _Open(self._open)
        self._delete_callback = self.vfs.delete = _Delete(self._delete)
        self._callbacks = (
            _Close(self._close), _Write(self._write), _Truncate(self._truncate), _Sync(self._sync)
        )  # fmt: skip
        self._patched: dict[int, _Methods] = {}
        # For each open file, by its address: its path and SQLite's own methods.
        self._files: dict[int, tuple[str, _Methods]] = {}

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out_flags: Any) -> int:
        # The name goes on as the address that it came as, since SQLite keeps that and reads it again later.
        result: int = self._original.open(vfs, name, file, flags, out_flags)
        if result == sqlite3.SQLITE_OK and name is not None:
            methods_at = _Pointer.from_address(file)
            address = methods_at.value or 0
            methods = _Methods.from_address(address)
            patched = self._patched.get(address)
            if patched is None:
                patched = self._patched[address] = _Methods.from_buffer_copy(methods)
                patched.close, patched.write, patched.truncate, patched.sync = self._callbacks
            self._files[file] = (os.fsdecode(ctypes.string_at(name)), methods)
            methods_at.value = ctypes.addressof(patched)
        return result

    def _delete(self, vfs: int, name: bytes, sync_folder: int) -> int:
        self.disk.diary.append(Event("delete", os.fsdecode(name)))
        result: int = self._original.delete(vfs, name, sync_folder)
        return result

    def _close(self, file: int) -> int:
        _, methods = self._files.pop(file)
        result: int = methods.close(file)
        return result

    def _write(self, file: int, data: int, size: int, offset: int) -> int:
        path, methods = self._files[file]
        if failed := self.disk.fails("write", path):
            return failed
        self.disk.diary.append(Event("write", path, offset, ctypes.string_at(data, size)))
        result: int = methods.write(file, data, size, offset)
        return result

    def _truncate(self, file: int, size: int) -> int:
        path, methods = self._files[file]
        self.disk.diary.append(Event("truncate", path, size))
        result: int = methods.truncate(file, size)
        return result

    def _sync(self, file: int, flags: int) -> int:
        path, methods = self._files[file]
        if self.disk.sync_takes:
            time.sleep(self.disk.sync_takes)
        if failed := self.disk.fails("sync", path):
            return failed
        result: int = methods.sync(file, flags)
        self.disk.diary.append(Event("sync", path))
        return result
