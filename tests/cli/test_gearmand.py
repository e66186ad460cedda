"""geartrain gearmand: what starts gearmand starts the job server."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import typer

from geartrain.cli.gearmand import read_options, settings_of
from tests.harness.processes import Process, accepts, free_port, wait_until
from tests.harness.rawwire import Packet, RawPeer
from tests.harness.servers import GEARMAND_C, HOST, geartrain, require

GEARMAND = (sys.executable, "-m", "geartrain", "gearmand")


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Nobody may wait for it here; the first process of a container does not always.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_start_script_written_for_gearmand_starts_and_stops_it(tmp_path: Path) -> None:
    """The lines of Debian's unit and its /etc/default file, with paths of this test."""
    port = free_port()
    script = f"""
        set -e
        DAEMON={shlex.quote(shlex.join(GEARMAND))}
        PIDFILE={tmp_path}/gearmand.pid
        PARAMS="--listen=localhost --daemon --log-file={tmp_path}/gearmand.log --port={port}"
        PARAMS="$PARAMS -q libsqlite3 --libsqlite3-db={tmp_path}/queue.db --threads=4 --worker-wakeup=1"
        case "$1" in
            start) $DAEMON --pid-file=$PIDFILE $PARAMS ;;
            stop) kill -TERM $(cat $PIDFILE) ;;
        esac
    """
    subprocess.run(["sh", "-c", script, "sh", "start"], check=True, timeout=60)
    pid = int((tmp_path / "gearmand.pid").read_text())
    try:
        # It listened before the script came to its end.
        with RawPeer(HOST, port) as client:
            client.send_text("getpid")
            assert client.recv_line() == b"OK %d\n" % pid
            client.submit("f", type=Packet.SUBMIT_JOB_BG)
        first, second = map(json.loads, (tmp_path / "gearmand.log").read_text().splitlines()[:2])
        assert first["journal"] == f"sqlite:{tmp_path}/queue.db.geartrain"
        assert second["event"] == "options without effect"
        assert second["threads"] == "one thread serves them all"
        subprocess.run(["sh", "-c", script, "sh", "stop"], check=True, timeout=60)
        wait_until(lambda: _is_gone(pid), "it has ended")
        assert not (tmp_path / "gearmand.pid").exists()
        subprocess.run(["sh", "-c", script, "sh", "start"], check=True, timeout=60)
        pid = int((tmp_path / "gearmand.pid").read_text())
        with RawPeer(HOST, port) as worker:
            worker.can_do("f")
            worker.grab()
    finally:
        if not _is_gone(pid):
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: _is_gone(pid), "it has ended")


def test_a_daemon_that_can_not_listen_fails_in_the_foreground(tmp_path: Path) -> None:
    with Process(*GEARMAND, "--listen=127.0.0.1", "--port=1000000") as wrong:
        assert wrong.wait(30) == 2
    with Process(*GEARMAND, "--listen=192.0.2.1", "--daemon", f"--log-file={tmp_path}/log") as wrong:
        assert wrong.wait(30) == 1
    assert "192.0.2.1" in (tmp_path / "log").read_text()


def test_a_daemon_finds_its_files_where_it_was_started(tmp_path: Path) -> None:
    arguments = [
        "--listen=127.0.0.1",
        f"--port={free_port()}",
        "--daemon",
        "--pid-file=pid",
        "--log-file=log",
    ]
    arguments += ["-q", "libsqlite3", "--libsqlite3-db=queue.db"]
    subprocess.run([*GEARMAND, *arguments], cwd=tmp_path, check=True, timeout=60)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert (tmp_path / "log").exists()
        assert (tmp_path / "queue.db.geartrain").exists()
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: _is_gone(pid), "it has ended")


def test_every_option_of_gearmand_is_taken() -> None:
    require(GEARMAND_C, "gearmand (C) is missing: apt-get install gearman-job-server")
    told = subprocess.run([GEARMAND_C, "--help"], capture_output=True, text=True, timeout=10).stdout
    found = re.findall(r"^  (?:(-\w) \[ )?(--[\w-]+)(?: \])?( arg)?", told, re.MULTILINE)
    assert len(found) > 40
    arguments = []
    for short, long, has_value in found:
        if long in ("--help", "--version", "--config-file"):
            continue
        value = "info" if long == "--verbose" else "7"
        arguments += [f"{long}={value}"] if has_value else [long]
        if short:
            arguments += [f"{short}{value}" if has_value else short]
    settings, no_effect = settings_of(read_options(arguments))
    assert settings["port"] == 7
    assert settings["limits.connections"] == 1
    assert settings["log.level"] == "info"
    assert no_effect["mysql_host"] == "jobs are kept in the journal"


def test_options_may_stand_in_a_file(tmp_path: Path) -> None:
    plain, line = tmp_path / "gearmand.conf", tmp_path / "line"
    plain.write_text("# gearmand\nport=1234\nround-robin\n\njob-retries = 3\n")
    line.write_text("--port=1234 -R --job-retries=3\n")
    for option in (f"--config-file={plain}", f"--config-file=@{line}"):
        settings, _ = settings_of(read_options([option, "--port=4321"]))
        assert (settings["port"], settings["round_robin"], settings["job_retries"]) == (4321, True, 3)


def test_a_file_that_is_no_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gearmand.conf"
    file.write_bytes(b"port=\xff")
    with pytest.raises(typer.Exit):
        read_options([f"--config-file={file}"])
    assert f"{file}: byte 6 is not UTF-8" in capsys.readouterr().err


def test_all_addresses_are_listened_on_unless_one_is_given() -> None:
    settings, _ = settings_of(read_options([]))
    assert settings["listen"][0] == "0.0.0.0"
    port = free_port()
    with Process(*GEARMAND, f"-p{port}") as server:
        server.wait_until(lambda: accepts(HOST, port), "it listens")
        server.wait_for_output("anybody who reaches this server may use it")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_it_goes_on_as_another_user() -> None:
    port = free_port()
    with Process(*GEARMAND, f"-p{port}", "--listen=127.0.0.1", "--user=nobody") as server:
        server.wait_until(lambda: accepts(HOST, port), "it listens")
        wait_until(lambda: "nobody" in _owner(server.pid), "it has become nobody")
    with Process(*GEARMAND, f"-p{port}", "--listen=127.0.0.1", "--user=nobody-there") as server:
        assert server.wait(30) == 2
        assert "there is no user 'nobody-there'" in server.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_the_journal_of_a_server_that_becomes_somebody_else_is_theirs() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = Path(folder, "journal.db")
        with geartrain(f"--journal=sqlite:{path}", "--set=user=nobody") as server:
            with server.connect() as client:
                client.submit("f", "w", type=Packet.SUBMIT_JOB_BG)
            assert _owner(server.process.pid) == path.owner() == "nobody"


def _owner(pid: int) -> str:
    import pwd

    return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name
