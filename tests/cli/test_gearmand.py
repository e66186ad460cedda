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
from typing import Any

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
        assert wrong.wait(30) == 1
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


def parsed(*arguments: str, **environment: str) -> tuple[dict[str, Any], dict[str, str]]:
    options, _ = read_options(arguments)
    return settings_of(options, environment)


@pytest.mark.parametrize("form", ["short", "long"])
def test_every_option_of_gearmand_is_taken(form: str) -> None:
    require(GEARMAND_C, "gearmand (C) is missing: apt-get install gearman-job-server")
    told = subprocess.run([GEARMAND_C, "--help"], capture_output=True, text=True, timeout=10).stdout
    found = re.findall(r"^  (?:(-\w) \[ )?(--[\w-]+)(?: \])?( arg)?", told, re.MULTILINE)
    assert len(found) > 40
    values = {"--verbose": "INFO", "--queue-type": "libsqlite3", "--protocol": "http"}
    arguments = []
    for short, long, has_value in found:
        if long in ("--help", "--version", "--config-file"):
            continue
        value = values.get(long, "7")
        if form == "short" and short:
            arguments += [f"{short}{value}" if has_value else short]
        else:
            arguments += [f"{long}={value}"] if has_value else [long]
    settings, no_effect = parsed(*arguments)
    assert settings["port"] == 7
    assert settings["limits.connections"] == 1
    assert settings["log.level"] == "info"
    assert no_effect["mysql_host"] == "jobs are kept in the journal"


GOOD = [
    words.split()
    for words in (
        "",
        "--backlog=10",
        "-b 10",
        "--daemon",
        "-d",
        "--coredump",
        "--file-descriptors=10",
        "-f 10",
        "--help",
        "-h",
        "--keepalive",
        "--keepalive-idle=10",
        "--keepalive-interval=3",
        "--keepalive-count=10",
        '--log-file="tmp/foo"',
        "--log-file=stderr",
        "-l foo",
        "--listen=10",
        "-L 10",
        "--port=10",
        "-p 10",
        "-p10",
        '--pid-file="tmp/gearmand.pid"',
        "-P pid",
        "--round-robin",
        "-R",
        "-dR",
        "--syslog",
        "--ssl",
        "--threads=10",
        "-t 8",
        "--user=nobody",
        "-u nobody",
        "--version",
        "-V",
        "--verbose=DEBUG",
        "--verbose FATAL",
        "--worker-wakeup=4",
        "-w 4",
        "--protocol=http",
        "-r http --http-port=8090",
        "--queue-type=builtin",
        "--queue-type=libsqlite3 --libsqlite3-db=x --libsqlite3-table=t --store-queue-on-shutdown",
        "--job-retries=4",
        "-j 6",
        "--job-retries=0",
        "--job-handle-prefix=mine",
        "--hashtable-buckets=2000",
        "--exceptions",
        "--keepalive-idle=-1",
        "--keepalive-idle=-2",
        "--keepalive-idle=2147483647",
        "--keepalive-count=1000",
        "--backlog=-2",
        "--backlog=2147483647",
        "--backlog=+5",
        "--file-descriptors=0",
        "--file-descriptors=-1",
        "--worker-wakeup=-1",
        "--worker-wakeup=300",
        "--hashtable-buckets=-1",
        "--mysql-port=3306",
        "--redis-port=redis",
        "--http-port=x",
    )
]
"""Arguments that gearmand takes."""
WRONG = [
    words.split()
    for words in (
        "stray",
        "-- stray",
        "--log",
        "--unknown",
        "-Z",
        "-v",
        "-vv",
        "-vvv",
        "--verbose=BAD",
        "--verbose=",
        "--port=",
        "--port",
        "-b",
        "--backlog=abc",
        "--file-descriptors=x",
        "--syslog=yes",
        "--daemon=1",
        "--port=10 --port=11",
        "-d --daemon",
        "--hashtable-buckets=0",
        "--job-retries=x",
        "--config-file",
        "--config-file=missing.conf",
        "--config-file=missing.conf -d",
        "--keepalive-count=many",
        "--threads=few",
        "--threads=4294967296",
        "--backlog=2147483648",
        "--backlog=1_0",
        "--backlog=٣",
        "--backlog=1.5",
        "--keepalive-count=4294967295",
        "--worker-wakeup=4294967296",
        "--mysql-port=65536",
        "--mysql-port=",
        "--listen=",
        "--log-file=",
        "--pid-file=",
        "--user=",
        "--http-port=",
        "--job-handle-prefix=",
        "--ssl-key=",
        "--libsqlite3-db=",
        "--redis-password=",
    )
]
"""Arguments that it refuses."""


@pytest.mark.parametrize("arguments", [*GOOD, *WRONG], ids=" ".join)
def test_checked_arguments_have_the_exit_code_of_gearmand(arguments: list[str], tmp_path: Path) -> None:
    require(GEARMAND_C, "gearmand (C) is missing: apt-get install gearman-job-server")
    codes = [
        subprocess.run(
            [*command, "--check-args", *arguments], cwd=tmp_path, capture_output=True, timeout=60
        ).returncode
        for command in ([GEARMAND_C], GEARMAND)
    ]
    assert codes == [int(arguments in WRONG)] * 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [["--queue-type=none"], ["--protocol=nope"], ["--port=70000"], ["--job-retries=256"]]
)
def test_a_value_that_makes_no_sense_ends_with_exit_code_1(arguments: list[str]) -> None:
    done = subprocess.run([*GEARMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert arguments[0].split("=")[0] in done.stderr
    assert "Traceback" not in done.stderr


FILES = [
    "--port 1234\n", "--port=1234\n",
    "-p 1234 -L 127.0.0.1\n", "-p1234", "--por 1234", "--port 1234\r\n-R\r\n",
    "words --port 1234 that are no options\n",
    "# use --port 1234\n", "  --port\n1234", "-R\n\n--port 1234 -j 3",
]  # fmt: skip
WRONG_FILES = [
    "--port 1234\n--port 1235\n",
    "--bogus 1\n",
    "--daemon=1",
    "--backlog abc",
    "--port",
    "--check-args",
]


@pytest.mark.parametrize("text", FILES)
def test_a_configuration_file_is_read_as_gearmand_reads_it(text: str, tmp_path: Path) -> None:
    file = tmp_path / "gearmand.conf"
    file.write_text(text)
    assert parsed(f"--config-file={file}")[0]["port"] == 1234
    assert parsed(f"--config-file=@{file}")[0]["port"] == 1234
    assert parsed(f"--config-file={file}", "--port=4321")[0]["port"] == 4321


@pytest.mark.parametrize("text", [*FILES, *WRONG_FILES])
def test_a_configuration_file_is_good_where_it_is_for_gearmand(text: str, tmp_path: Path) -> None:
    require(GEARMAND_C, "gearmand (C) is missing: apt-get install gearman-job-server")
    file = tmp_path / "gearmand.conf"
    file.write_text(text)
    arguments = ["--check-args", f"--config-file={file}"]
    codes = [
        subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, timeout=60).returncode
        for command in ([GEARMAND_C], GEARMAND)
    ]
    assert codes == [int(text in WRONG_FILES)] * 2


# Arguments, GEARMAND_PORT and the configuration file, in which A and B stand for two free ports.
STARTS = {
    "a port": (["-p", "A"], "", ""),
    "an address": (["-p", "A", "-L", "127.0.0.1"], "", ""),
    "a name": (["-p", "A", "--listen=localhost"], "", ""),
    "the environment": (["-L", "127.0.0.1"], "A", ""),
    "a flag before the environment": (["-L", "127.0.0.1", "-p", "B"], "A", ""),
    "the file before the environment": (["-L", "127.0.0.1"], "A", "-p B"),
    "the file": ([], "", "--port A --listen=127.0.0.1\n"),
    "a flag before the file": (["-p", "B"], "", "--port A --listen=127.0.0.1\n"),
    "a line that is no option": (["-L", "127.0.0.1"], "A", "port=B\n"),
    "values that mean the default": (
        ["-p", "A", "-L", "127.0.0.1", "-f", "0", "-b", "-1", "-t", "0"],
        "",
        "",
    ),
    "no such address": (["-p", "A", "-L", "999.1.1.1"], "", ""),
    "an address of another machine": (["-p", "A", "-L", "192.0.2.1"], "", ""),
    "no such queue": (["-p", "A", "-q", "none"], "", ""),
    "no such protocol": (["-p", "A", "-r", "none"], "", ""),
    "no such user": (["-p", "A", "-L", "127.0.0.1", "-u", "nobody-there"], "", ""),
}


def _start(command: list[str], case: str, folder: Path) -> list[str] | int:
    """Return at which ports a server of STARTS listens, or its exit code."""
    arguments, variable, text = STARTS[case]
    ports = {"A": str(free_port()), "B": str(free_port())}

    def filled(words: str) -> str:
        return re.sub(r"\b[AB]\b", lambda match: ports[match[0]], words)

    words = [filled(word) for word in arguments]
    if text:
        (folder / "gearmand.conf").write_text(filled(text))
        words.append("--config-file=gearmand.conf")
    environment = {"GEARMAND_PORT": filled(variable)} if variable else {}
    with subprocess.Popen(
        [*command, "--log-file=stderr", *words],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:

        def found() -> list[str]:
            return [name for name, port in ports.items() if accepts(HOST, int(port))]

        try:
            wait_until(lambda: server.poll() is not None or bool(found()), "it listens or has ended")
            code = server.poll()
            return found() if code is None else code
        finally:
            if server.poll() is None:
                server.terminate()
                server.wait(30)


@pytest.mark.parametrize("case", STARTS)
def test_it_listens_where_gearmand_does_or_ends_as_it_does(case: str, tmp_path: Path) -> None:
    require(GEARMAND_C, "gearmand (C) is missing: apt-get install gearman-job-server")
    if "user" in case and os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    theirs, ours = (_start(list(command), case, tmp_path) for command in ([GEARMAND_C], GEARMAND))
    assert ours == theirs


def test_values_beyond_what_the_kernel_takes_are_its_largest() -> None:
    settings, _ = parsed("--keepalive-idle=2147483647", "--keepalive-count=1000", "--keepalive-interval=-2")
    assert settings["keepalive.idle"] == 32767
    assert settings["keepalive.probes"] == 127
    assert "keepalive.interval" not in settings


def test_words_of_the_file_that_are_no_options_are_logged(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "gearmand.conf"
    file.write_text(f"port=26002\n-p {port} -L 127.0.0.1\n")
    with Process(*GEARMAND, f"--config-file={file}", "--log-file=stderr") as server:
        server.wait_until(lambda: accepts(HOST, port), "it listens")
        server.wait_for_output("port=26002")


@pytest.mark.parametrize(
    ("given", "attempts"), [([], 0), (["-j", "-1"], 0), (["-j", "0"], 1), (["-j", "1"], 1), (["-j", "3"], 3)]
)
def test_job_retries_count_as_in_gearmand_of_2026(given: list[str], attempts: int) -> None:
    # Ours counts attempts, 0 meaning any number.
    assert parsed(*given)[0].get("job_retries", 0) == attempts


def test_the_port_of_the_environment_gives_way_to_an_explicit_one() -> None:
    assert parsed(GEARMAND_PORT="1234")[0]["port"] == 1234
    assert parsed("--port=4321", GEARMAND_PORT="1234")[0]["port"] == 4321
    assert parsed("--port=4321", GEARMAND_PORT="nonsense")[0]["port"] == 4321
    assert "port" not in parsed(GEARMAND_PORT="")[0]
    # Kubernetes sets it for a Service that is called gearmand.
    assert "port" not in parsed(GEARMAND_PORT="tcp://10.0.0.1:4730")[0]
    with pytest.raises(typer.Exit) as wrong:
        parsed(GEARMAND_PORT="nonsense")
    assert wrong.value.exit_code == 1


def test_the_files_for_tls_may_stand_in_the_environment() -> None:
    environment = {
        "GEARMAND_CA_CERTIFICATE": "ca", "GEARMAND_SERVER_PEM": "pem", "GEARMAND_SERVER_KEY": "key",
    }  # fmt: skip
    settings, _ = parsed("--ssl", "--ssl-key=mine", **environment)
    found = [settings[f"tls.{name}"] for name in ("client_ca", "certificate", "key")]
    assert found == ["ca", "pem", "mine"]
    assert "tls.key" not in parsed(**environment)[0]


def test_a_file_that_is_no_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gearmand.conf"
    file.write_bytes(b"--port=\xff")
    with pytest.raises(typer.Exit):
        read_options([f"--config-file={file}"])
    assert f"{file}: byte 8 is not UTF-8" in capsys.readouterr().err


def test_all_addresses_are_listened_on_unless_one_is_given() -> None:
    settings, _ = parsed()
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
        assert server.wait(30) == 1
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
