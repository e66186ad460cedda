"""geartrain submit."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import time
from datetime import datetime, timedelta

import pytest

from tests.harness.processes import free_port, wait_until
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, geartrain

from .command import GEARTRAIN, Terminal, run, run_bytes, start, waiting


def test_the_result_is_printed_byte_for_byte(stage: JobServer) -> None:
    workload = bytes(range(256))
    assert run_bytes("submit", "reverse", "-", stdin=workload, server=stage) == (0, workload[::-1])
    assert run_bytes("submit", "reverse", b"\xff\xfe", server=stage) == (0, b"\xfe\xff")
    assert run_bytes("submit", "reverse", stdin=b"not read", server=stage) == (0, b"")


def test_data_is_printed_before_the_result_and_warnings_go_to_standard_error(stage: JobServer) -> None:
    done = run("submit", "chatty", server=stage)
    assert done == (0, "one\ntwo\nthree\n", "geartrain: chatty: warning: mind the gap\n")


def test_a_failed_job_is_exit_code_1_and_so_is_an_exception_whose_text_is_shown(stage: JobServer) -> None:
    assert run("submit", "fail", server=stage) == (1, "", "geartrain: fail: the job failed\n")
    done = run("submit", "raise", server=stage)
    assert done == (1, "", "geartrain: raise: exception: no such account\n\\x1b[31mred\n")


def test_a_failed_job_is_submitted_again_when_asked(stage: JobServer) -> None:
    assert run("submit", "second_time", "a", "--retry", "1", server=stage) == (0, "the second time", "")


def test_a_job_that_takes_too_long_is_exit_code_5(stage: JobServer) -> None:
    done = run("submit", "nobody_does_this", "--timeout", "0.2", server=stage)
    assert (done.code, done.out) == (5, "")
    assert "no result within 0.2 s" in done.err


def test_a_job_that_takes_too_long_tells_of_its_workers(stage: JobServer) -> None:
    why = "no worker of 'nobody_does_this' is connected; 1 job waits"
    command = ("submit", "nobody_does_this", "--timeout", "0.5")

    def is_told() -> bool:
        done = run(*command, server=stage)
        return done == (5, "", f"geartrain: nobody_does_this: no result within 0.5 s: {why}\n")

    def is_told_in_json() -> bool:
        told = json.loads(run(*command, "--json", server=stage).out)
        return (told.get("workers"), told.get("waiting")) == (0, 1) and told["failure"].endswith(why)

    wait_until(is_told, "the server told in time")
    wait_until(is_told_in_json, "the server told in time")


def test_no_server_is_exit_code_3() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = run("submit", "reverse", "x", "--server", address)
    assert (done.code, done.out) == (3, "")
    assert address in done.err


def test_a_refused_job_is_exit_code_4(server: JobServer) -> None:
    done = run("submit", "reverse", "--background", "--unique", "u" * 65, server=server)
    assert done.code == 4
    assert "ARGUMENT_TOO_LARGE" in done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("reverse", "x", "--lines"), "--lines takes the jobs from standard input"),
        (("reverse", "--at", "+1d"), "only a background task of normal priority can be put off"),
        (("reverse", "-b", "--at", "tomorrow"), "--at 'tomorrow': write a time as"),
        (("reverse", "--server", "host:port"), "the port must be a number"),
        (("", "x"), "a function's name is not empty"),
        (("reverse", "--priority", "urgent"), "'urgent'"),
    ],
)
def test_what_makes_no_sense_is_exit_code_2_and_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = run("submit", *arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in " ".join(done.err.replace("│", "").split())
    assert "Traceback" not in done.err


def test_each_line_is_a_job_and_the_results_come_in_their_order(stage: JobServer) -> None:
    lines = [str(number) for number in range(3000)]
    done = run("submit", "reverse", "--lines", stdin="\n".join(lines), server=stage)
    assert done.code == 0
    assert done.out.splitlines() == [line[::-1] for line in lines]


def test_a_line_without_a_result_is_a_line_without_text(stage: JobServer) -> None:
    assert run("submit", "reverse", "--lines", stdin="ab\n\ncd\n", server=stage).out == "ba\n\ndc\n"


def test_a_line_that_fails_is_named_and_the_others_are_done(stage: JobServer) -> None:
    done = run("submit", "odd", "--lines", stdin="2\n3\n4\n", server=stage)
    assert done == (1, "2\n4\n", "geartrain: line 2: odd: exception: 3 is odd\n")


def test_lines_may_end_as_in_windows(stage: JobServer) -> None:
    assert run("submit", "reverse", "--lines", stdin="ab\r\n\r\ncd", server=stage).out == "ba\n\ndc\n"


def test_lines_are_submitted_as_they_come_however_slowly(stage: JobServer) -> None:
    with start("submit", "reverse", "--lines", server=stage, stdin=subprocess.PIPE) as command:
        assert command.popen.stdin is not None
        for line, expected in ((b"abc\n", "cba\n"), (b"def\n", "cba\nfed\n")):
            command.popen.stdin.write(line)
            command.popen.stdin.flush()
            command.wait_for_output(expected)
        command.popen.stdin.write(b"end")
        command.popen.stdin.close()
        assert command.wait() == 0
        assert command.stdout == "cba\nfed\ndne\n"


def test_lines_end_when_the_server_is_gone() -> None:
    with (
        geartrain() as server,
        start("submit", "nobody_does_this", "--lines", server=server, stdin=subprocess.PIPE) as command,
    ):
        assert command.popen.stdin is not None
        command.popen.stdin.write(b"a\nb\n")
        command.popen.stdin.flush()
        command.wait_until(lambda: waiting(server, "nobody_does_this") == 2, "both jobs are queued")
        server.process.kill()
        assert command.wait(30) == 3
        assert command.stderr.count("geartrain: ") == 1


def test_closed_streams_and_a_reader_that_goes_away_do_no_harm(stage: JobServer) -> None:
    command = shlex.join([*GEARTRAIN, "submit", "reverse", "--server", stage.address])
    for line, out, code in (
        (f"{command} --lines <&-", "", 0),
        (f"{command} abc >&-", "", 0),
        (f"yes abc | {command} --lines | head -2", "cba\ncba\n", 0),
    ):
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30)
        assert (done.stdout, done.stderr, done.returncode) == (out, "", code), line


def test_json_tells_everything_of_each_job(stage: JobServer) -> None:
    (row,) = map(json.loads, run("submit", "chatty", "--json", server=stage).out.splitlines())
    assert row.pop("handle").startswith("H:")
    assert row == {
        "function": "chatty",
        "state": "succeeded",
        "data": "one\ntwo\n",
        "result": "three\n",
        "warnings": ["mind the gap"],
    }
    done = run("submit", "odd", "--lines", "--json", "--unique", "-", stdin="2\n3\n", server=stage)
    assert done.code == 1
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["line"] for row in rows] == [1, 2]
    assert rows[0]["result"] == "2"
    assert rows[1]["state"] == "failed"
    assert rows[1]["exception"] == "3 is odd"
    row = json.loads(run("submit", "reverse", b"\xff\xfe", "--json", server=stage).out)
    assert base64.b64decode(row["result_base64"]) == b"\xfe\xff"


def test_the_same_job_for_several_functions_can_be_told_apart_by_labels(stage: JobServer) -> None:
    done = run("submit", "reverse", "ab", "--also", "unique", "--unique", "u", "--label", server=stage)
    assert done.code == 0
    assert sorted(done.out.splitlines()) == ["reverse: ba", "unique: u"]
    assert run("submit", "chatty", "-L", server=stage).out == "chatty: one\nchatty: two\nchatty: three\n"


@pytest.mark.parametrize(
    ("options", "type"),
    [
        ((), Packet.SUBMIT_JOB_BG),
        (("--priority", "high"), Packet.SUBMIT_JOB_HIGH_BG),
        (("-p", "low"), Packet.SUBMIT_JOB_LOW_BG),
    ],
)
def test_a_background_job_prints_its_handle_and_has_its_priority(
    options: tuple[str, ...], type: Packet, server: JobServer
) -> None:
    with server.connect() as peer:
        # A job of each other priority is there before it.
        for other in (Packet.SUBMIT_JOB_HIGH_BG, Packet.SUBMIT_JOB_BG, Packet.SUBMIT_JOB_LOW_BG):
            peer.send(other, "f", "", f"other {other}")
            peer.expect(Packet.JOB_CREATED)
        done = run("submit", "f", "ours", "--background", "--prefix", "", *options, server=server)
        assert done.code == 0
        peer.send(Packet.CAN_DO, "f")
        order = []
        for _ in range(4):
            peer.send(Packet.GRAB_JOB)
            handle, _, workload = peer.expect(Packet.JOB_ASSIGN)
            order.append(workload.decode())
            if workload == b"ours":
                assert done.out == f"{handle.decode()}\n"
        assert order[order.index("ours") - 1] == f"other {type}"


def test_a_prefix_goes_before_the_functions_name(server: JobServer) -> None:
    assert run("submit", "f", "--background", "--prefix", "test", server=server).code == 0
    assert run("status", server=server).out == "test\\tf\t1\t0\t0\n"


def test_a_unique_is_shared_and_the_workload_can_be_it(server: JobServer) -> None:
    first = run("submit", "f", "a", "--background", "--unique", "u", server=server).out
    assert run("submit", "f", "b", "--background", "--unique", "u", server=server).out == first
    handles = run(
        "submit", "f", "-b", "--lines", "-u", "-", stdin="x\ny\nx\n", server=server
    ).out.splitlines()
    assert handles[0] == handles[2] != handles[1]


@pytest.mark.parametrize("soon", [True, False])
def test_a_job_waits_for_its_time(soon: bool, server: JobServer) -> None:
    at = "+1.2s" if soon else (datetime.now() + timedelta(seconds=1.2)).isoformat()
    begin = time.time()
    assert run("submit", "f", "late", "--background", "--at", at, server=server).code == 0
    with server.connect() as peer:
        peer.send(Packet.CAN_DO, "f")
        peer.send(Packet.PRE_SLEEP)
        peer.expect(Packet.NOOP)
        assert time.time() - begin > 1
        peer.send(Packet.GRAB_JOB)
        assert peer.expect(Packet.JOB_ASSIGN)[2] == b"late"


def test_on_a_terminal_a_bar_shows_the_status_and_goes_away(stage: JobServer) -> None:
    with Terminal("submit", "chatty", server=stage) as terminal:
        terminal.wait_for("/4")
        assert terminal.wait() == 0
        assert "━" in terminal.text
        # The bar's line was erased before the rest was written over it.
        assert "\x1b[2K" in terminal.raw
        shown = terminal.text
    assert "geartrain: chatty: warning: mind the gap\n" in shown
    assert shown.endswith("two\nthree\n")


def test_a_bar_shows_how_many_lines_are_done_while_the_results_go_to_a_file(stage: JobServer) -> None:
    line = f"seq 1 9 | sed s/.*/0.1/ | {shlex.join(GEARTRAIN)} submit nap --lines > /dev/null"
    with Terminal(program=("sh", "-c", line), server=stage) as terminal:
        terminal.wait_for("/9 0:00:0")
        assert terminal.wait() == 0
        assert "jobs ━" in terminal.text


def test_on_a_terminal_a_result_ends_its_line(stage: JobServer) -> None:
    with Terminal("submit", "reverse", "abc", server=stage) as terminal:
        assert terminal.wait() == 0
        assert terminal.text == "cba\n"


def test_ctrl_c_ends_the_waiting(server: JobServer) -> None:
    with Terminal("submit", "nobody_does_this", server=server) as terminal:
        wait_until(lambda: waiting(server, "nobody_does_this") == 1, "the job is queued")
        terminal.press("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.text
