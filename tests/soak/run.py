"""The soak itself, and what may be left when it is over: nothing."""

from __future__ import annotations

import os
import random
import stat
import threading
import time
from pathlib import Path
from typing import Final

from geartrain import Admin, GeartrainError
from tests.harness.processes import wait_until

from .account import Account
from .cast import Servers, Workers, do_something
from .clients import Clients

SERVERS: Final = 2
SUPERVISORS: Final = 2
SETTLED_WITHIN: Final = 120.0
"""Seconds in which the jobs that are left must be done when everything runs again."""


def run(folder: Path, seconds: float, seed: int) -> Account:
    """Let clients, workers and servers work and suffer for so long; returns the account."""
    chance = random.Random(seed)
    account = Account()
    before = _own_sockets(), set(threading.enumerate())
    servers = Servers(folder, SERVERS)
    try:
        workers = Workers(folder, servers.addresses, SUPERVISORS)
        try:
            clients = Clients(servers.addresses, account, seed)
            try:
                deadline = time.monotonic() + seconds
                while time.monotonic() < deadline:
                    time.sleep(chance.random())
                    do_something(chance, servers, workers, account)
            finally:
                clients.stop()
            _wait_until_all_is_done(servers, account)
            for number in range(len(workers)):
                wrong = workers.restart(number, 15)
                if wrong:
                    account.complain(wrong)
        finally:
            workers.stop()
        _wait_until_all_is_done(servers, account)
    finally:
        servers.stop()
    executed = folder / "executed"
    account.check_background(executed.read_bytes().split() if executed.exists() else [])
    _check_that_nothing_is_left(folder, account, *before)
    return account


def _wait_until_all_is_done(servers: Servers, account: Account) -> None:
    left: dict[str, dict[str, int]] = {}

    def done() -> bool:
        for address in servers.addresses:
            try:
                with Admin(address) as admin:
                    left[address] = {row.function: row.total for row in admin.status() if row.total}
            except GeartrainError as error:
                left[address] = {str(error): 1}
        return not any(left.values())

    try:
        wait_until(done, "all jobs are done", SETTLED_WITHIN, interval=0.2)
    except AssertionError:
        account.complain(f"jobs are left on the servers: {left}")


def _check_that_nothing_is_left(
    folder: Path, account: Account, sockets: set[int], threads: set[threading.Thread]
) -> None:
    def processes() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == folder:
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found

    try:
        wait_until(lambda: not processes(), "no process is left", 20)
    except AssertionError:
        account.complain(f"processes are left: {processes()}")
    if left := set(threading.enumerate()) - threads:
        account.complain(f"threads are left: {left}")
    if more := _own_sockets() - sockets:
        account.complain(f"{len(more)} sockets are left")


def _own_sockets() -> set[int]:
    """The descriptors of this process that are sockets."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found.add(int(name))
        except OSError:
            continue
    return found
