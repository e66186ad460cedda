"""A supervisor over real processes, which are killed, crash, hang, and lose their parent."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.harness.processes import Process, wait_until

PATIENT: Final = """
import os, signal, sys, threading
def say(word):
    os.write(1, f"{word} {os.getpid()}\\n".encode())  # whole, though several write
def stop(number, frame):
    say("stopping")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGUSR1, lambda number, frame: say("usr1"))
say("up")
sys.stdin.buffer.read()
say("orphaned")
"""
"""Stops on SIGTERM, and when its standard input ends."""

DEAF: Final = PATIENT.replace("os._exit(0)", "threading.Event().wait(60); os._exit(1)")
"""Says that it is stopping, and does not, for longer than a test takes."""


def supervise(
    folder: Path, script: str, processes: int = 2, grace: float = 10, *watch_time_limit: Path
) -> Process:
    file = folder / "script.py"
    file.write_text(script)
    module = "tests.worker.pool.supervise"
    return Process(
        sys.executable, "-m", module, str(processes), str(grace), str(file), *map(str, watch_time_limit)
    )


def said(process: Process, word: str) -> list[int]:
    """The pids of the children that have said a word, in order."""
    words = [line.split() for line in process.stdout.splitlines()]
    return [int(rest[0]) for first, *rest in words if first == word]


def logged(process: Process, event: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in process.stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if event in line["event"]]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(process: Process, word: str, times: int) -> list[int]:
    process.wait_until(lambda: len(said(process, word)) >= times, f"{word!r} was said {times} times")
    return said(process, word)


def test_a_killed_child_is_replaced_and_the_others_are_left_alone(tmp_path: Path) -> None:
    with supervise(tmp_path, PATIENT) as parent:
        first, second = wait_for(parent, "up", 2)
        os.kill(first, signal.SIGKILL)
        third = wait_for(parent, "up", 3)[2]
        assert runs(second)
        assert third not in (first, second)
        assert logged(parent, "ended unexpectedly")[0]["how"] == "signal SIGKILL"


def test_sigterm_stops_all_children_and_then_the_parent(tmp_path: Path) -> None:
    with supervise(tmp_path, PATIENT) as parent:
        pids = wait_for(parent, "up", 2)
        parent.signal(signal.SIGTERM)
        assert parent.wait() == 0
        assert sorted(said(parent, "stopping")) == sorted(pids)
        assert not any(map(runs, pids))


def test_a_child_that_does_not_stop_within_the_grace_is_killed(tmp_path: Path) -> None:
    with supervise(tmp_path, DEAF, 1, 0.2) as parent:
        (pid,) = wait_for(parent, "up", 1)
        parent.signal(signal.SIGTERM)
        assert parent.wait() == 0
        assert not runs(pid)
        assert logged(parent, "did not stop in time")


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with supervise(tmp_path, DEAF, 2, 1000) as parent:
        pids = wait_for(parent, "up", 2)
        parent.signal(signal.SIGINT)
        wait_for(parent, "stopping", 2)
        parent.signal(signal.SIGINT)
        assert parent.wait() == 130
        assert not any(map(runs, pids))


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with supervise(tmp_path, PATIENT) as parent:
        pids = wait_for(parent, "up", 2)
        os.kill(parent.pid, signal.SIGKILL)
        parent.popen.wait(10)
        wait_until(lambda: sorted(said(parent, "orphaned")) == sorted(pids), "both have noticed")
        wait_until(lambda: not any(map(runs, pids)), "both have ended")


def test_children_that_crash_at_once_are_started_ever_more_rarely(tmp_path: Path) -> None:
    crash = "import os; os.write(1, b'up %d\\n' % os.getpid()); os._exit(3)"
    with supervise(tmp_path, crash, 1) as parent:
        wait_for(parent, "up", 4)
        # Pauses of at least 0.05, 0.1 and 0.2 seconds have passed, and the next one is 0.4 at least.
        parent.signal(signal.SIGTERM)
        assert parent.wait() == 0
        assert {line["how"] for line in logged(parent, "ended unexpectedly")} == {"exit code 3"}


def test_a_child_that_ends_well_is_replaced_and_one_that_was_misused_ends_it_all(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    once = f"import os; os._exit(0 if os.path.exists({str(marker)!r}) else 2)"
    with supervise(tmp_path, once, 2) as parent:
        assert parent.wait() == 2
    marker.touch()
    with supervise(tmp_path, once, 1) as parent:
        wait_until(lambda: len(logged(parent, "started")) >= 3, "three were started")
        # Now that it has worked, something else must be wrong, and may become right again.
        marker.unlink()
        wait_until(lambda: logged(parent, "unexpectedly"), "one was misused")
        marker.touch()
        count = len(logged(parent, "started"))
        wait_until(lambda: len(logged(parent, "started")) >= count + 2, "it goes on")


def test_sighup_starts_new_children_while_the_old_ones_finish(tmp_path: Path) -> None:
    with supervise(tmp_path, DEAF, 2, 1000) as parent:
        old = wait_for(parent, "up", 2)
        parent.signal(signal.SIGHUP)
        new = wait_for(parent, "up", 4)[2:]
        assert sorted(wait_for(parent, "stopping", 2)) == sorted(old)
        assert all(map(runs, old + new))
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        parent.wait_until(lambda: len(logged(parent, "has ended")) == 2, "the old ones have ended")
        assert len(said(parent, "up")) == 4
        parent.kill()


def test_other_signals_reach_the_children(tmp_path: Path) -> None:
    with supervise(tmp_path, PATIENT) as parent:
        pids = wait_for(parent, "up", 2)
        parent.signal(signal.SIGUSR1)
        assert sorted(wait_for(parent, "usr1", 2)) == sorted(pids)


def test_a_change_of_the_code_starts_the_children_anew(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    with supervise(tmp_path, PATIENT, 1, 10, code) as parent:
        (old,) = wait_for(parent, "up", 1)
        edits = 0

        def edited() -> bool:
            # The parent says nowhere that it watches by now, so the edit may come too early for it.
            nonlocal edits
            edits += 1
            (code / "module.py").write_text(f"# {edits}")
            return bool(logged(parent, "code has changed"))

        wait_until(edited, "the change was noticed", interval=0.3)
        assert wait_for(parent, "stopping", 1)[0] == old
        assert wait_for(parent, "up", 2)[1] != old


def test_code_that_cannot_be_imported_is_started_again_when_it_has_changed(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    module = code / "module.py"
    module.write_text("wrong")
    check = f"if open({str(module)!r}).read() == 'wrong': os._exit(2)\n"
    with supervise(tmp_path, "import os\n" + check + PATIENT, 1, 10, code) as parent:
        parent.wait_until(lambda: logged(parent, "unexpectedly"), "it was misused")

        def mended() -> bool:
            module.write_text("right" if module.read_text() == "wrong" else "right too")
            return bool(said(parent, "up"))

        wait_until(mended, "it was started anew", interval=0.5)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_parent_of_idle_children_uses_no_cpu(tmp_path: Path) -> None:
    with supervise(tmp_path, PATIENT) as parent:
        wait_for(parent, "up", 2)

        def switches() -> int:
            status = Path(f"/proc/{parent.pid}/status").read_text()
            return sum(int(line.split()[1]) for line in status.splitlines() if "_ctxt_switches" in line)

        settled = switches()

        def quiet() -> bool:
            nonlocal settled
            before, settled = settled, switches()
            return before == settled

        wait_until(quiet, "it is quiet", interval=0.5)
        time.sleep(0.5)
        assert switches() == settled
