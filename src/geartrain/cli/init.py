"""The first process of a container: it reaps orphans and passes signals on to the command.

A kernel hands orphans to process 1, and gives process 1 no default action for a signal. So `geartrain` as
process 1 forks: the child is the command, and process 1 does nothing but what an init does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

_PASSED_ON: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCONT,
)
SIGNAL_CODE: Final = 128
"""Added to the number of the signal that ended the command, as shells do."""


def become_init() -> None:
    """Fork if this is process 1. Only the child returns; process 1 ends with the child's exit code."""
    if os.getpid() != 1:
        return
    watched = {signal.SIGCHLD, *_PASSED_ON}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    command = os.fork()
    if command:
        os._exit(_wait_for(command, watched))
    # A group of its own in the terminal: Ctrl-C there comes to the command once, and not by process 1 again.
    os.setpgid(0, 0)
    if sys.stdin is not None and sys.stdin.isatty():
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for(command: int, watched: set[signal.Signals]) -> int:
    """Reap every child and pass signals on, until the command has ended; return its exit code."""
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            os.kill(command, number)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            if pid == command:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else SIGNAL_CODE - code
