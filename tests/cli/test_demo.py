"""geartrain demo: it answers, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.processes import wait_until

from .command import Terminal, run


def alive(pids: list[int]) -> list[int]:
    """Those that have not ended; one that nobody has waited for yet has ended, too."""

    def ended(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return [pid for pid in pids if not ended(pid)]


def parts(terminal: Terminal) -> dict[str, int]:
    """The processes that the diagram shows, by name."""
    terminal.wait_for("> ")
    found = {name: int(pid) for name, pid in re.findall(r"(\w+) worker +pid (\d+)", terminal.text)}
    client, server = re.findall(r"^ {9}pid (\d+) +│ +pid (\d+) +│", terminal.text, re.MULTILINE)[0]
    found |= {"client": int(client), "server": int(server)}
    assert len(found) == 6, terminal.text
    return found


def test_a_pipe_is_answered_line_by_line_and_the_demo_ends() -> None:
    done = run("demo", stdin="2+3 7-10 6*7 8/2 1/0\n-2*-3 1.5+2\n2 + 3\n\n.5-1 0*-4 1/3 10-0.50\n")
    assert done == (
        0,
        "2+3 = 5\n"
        "7-10 = -3\n"
        "6*7 = 42\n"
        "8/2 = 4\n"
        "1/0: division by zero (exception from the division worker)\n"
        "-2*-3 = 6\n"
        "1.5+2 = 3.5\n"
        "2+3 = 5\n"
        ".5-1 = -0.5\n"
        "0*-4 = 0\n"
        "1/3 = 0.3333333333333333333333333333\n"
        "10-0.50 = 9.5\n",
        "",
    )


def test_large_numbers_are_exact() -> None:
    big = "9" * 50
    done = run("demo", stdin=f"{big}*{big} {big}+1 {big}-0.{'1' * 50}\n")
    assert done.out.splitlines() == [
        f"{big}*{big} = {int(big) ** 2}",
        f"{big}+1 = {int(big) + 1}",
        f"{big}-0.{'1' * 50} = {int(big) - 1}.{'8' * 49}9",
    ]


def test_what_lies_in_the_working_directory_is_not_imported(tmp_path: Path) -> None:
    for name in ("decimal.py", "geartrain.py", "random.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong file')\n")
    command = [sys.executable, "-P", "-m", "geartrain", "demo"]
    done = subprocess.run(command, input="8/2", capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "8/2 = 4\n", "")


def test_what_is_no_operation_gets_a_sentence_and_the_rest_is_answered() -> None:
    done = run("demo", stdin="foo 2+3 2+3+4\n2 + x 1/2\n\xff\n5/ 6*7")
    assert done.code == 0
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        *("foo", "2+3 = 5", "2+3+4", "2 + x", "1/2 = 0.5", "ÿ", "5/", "6*7 = 42"),
    ]
    assert done.out.count("not an operation; that is two numbers with") == 5


@pytest.mark.parametrize("key", ["\x04", "\x03"])
def test_on_a_terminal_it_shows_what_it_started_and_ctrl_d_or_ctrl_c_ends_all_of_it(key: str) -> None:
    with Terminal("demo") as terminal:
        pids = list(parts(terminal).values())
        assert alive(pids) == pids
        for name in ("job server", "addition", "subtraction", "multiplication", "division", "127.0.0.1:"):
            assert name in terminal.text
        terminal.press("2+3 1/0\n")
        terminal.wait_for("2+3 = 5\n1/0: division by zero (exception from the division worker)\n> ")
        terminal.press(key)
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.text
        assert alive(pids) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_the_demo_ends_its_processes(number: signal.Signals) -> None:
    with Terminal("demo") as terminal:
        pids = list(parts(terminal).values())
        terminal.popen.send_signal(number)
        terminal.wait()
        wait_until(lambda: not alive(pids), "all have ended")


def test_a_worker_that_was_killed_is_missed_and_the_others_go_on() -> None:
    with Terminal("demo") as terminal:
        division = parts(terminal)["division"]
        os.kill(division, signal.SIGKILL)
        wait_until(lambda: not alive([division]), "the worker has ended")
        terminal.press("8/2 2+3\n")
        terminal.wait_for("8/2: the division worker does not answer\n2+3 = 5\n> ")
        terminal.press("\x04")
        assert terminal.wait() == 0


def test_it_ends_when_its_job_server_does() -> None:
    with Terminal("demo") as terminal:
        pids = parts(terminal)
        os.kill(pids["server"], signal.SIGKILL)
        terminal.press("2+3\n")
        assert terminal.wait() == 3
        assert "no job server could be reached" in terminal.text
        assert alive(list(pids.values())) == []


def test_without_line_drawing_the_diagram_is_in_ascii() -> None:
    with Terminal("demo", env={"PYTHONIOENCODING": "ascii"}) as terminal:
        terminal.wait_for("> ")
        terminal.press("\x04")
        assert terminal.wait() == 0
        assert "|   job server    |" in terminal.text
        assert "+- addition worker" in terminal.text
