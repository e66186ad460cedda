"""The examples in other languages, each run as its README says."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from geartrain import Client
from tests.harness.processes import Process
from tests.harness.rawwire import RES, Packet, encode
from tests.harness.servers import require

from .capabilities import Peer, Server
from .cast import BUILD_TIMEOUT, LANGUAGES, command, node_modules
from .stage import PATIENCE, Stage

EXAMPLES = {
    "c": ["{folder}/{role}"],
    "perl": ["perl", "{folder}/{role}.pl"],
    "php": ["php", "{folder}/{role}.php"],
    "ruby": ["ruby", "{folder}/{role}.rb"],
    "node": ["node", "{folder}/{role}.js"],
    "shell": ["sh", "{folder}/{role}.sh"],
}


class Example:
    """A language's example, ready to run."""

    def __init__(self, language: str, server: str, scratch: Path, running: ExitStack) -> None:
        self._language = language
        self._environment = {"GEARMAN_SERVERS": server}
        self._running = running
        self._folder = LANGUAGES / language
        match language:
            case "c":
                require("make", "make is missing: apt-get install make")
                command(Peer.LIBGEARMAN, "client", scratch)  # tells if the library is missing
                self._folder = Path(shutil.copytree(self._folder, scratch / "c", dirs_exist_ok=True))
                with Process(
                    "make", "-C", str(self._folder), "CFLAGS=-std=c11 -Wall -Wextra -Werror"
                ) as make:
                    assert make.wait(BUILD_TIMEOUT) == 0, make.report()
            case "ruby":
                require("ruby", "Ruby is missing: apt-get install ruby")
            case "node":
                self._environment["NODE_PATH"] = str(node_modules())
            case "shell":
                command(Peer.TOOL, "client", scratch)
            case _:
                command(Peer(language), "client", scratch)

    def start(self, role: str, argument: str) -> Process:
        """Start its client or worker."""
        words = [word.format(folder=self._folder, role=role) for word in EXAMPLES[self._language]]
        return self._running.enter_context(Process(*words, argument, env=self._environment))


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_worker_and_client_of_a_language_work_with_each_other_and_with_python(
    language: str, stage: Stage, running: ExitStack, tmp_path: Path
) -> None:
    server = stage.server(Server.GEARTRAIN).address
    example = Example(language, server, tmp_path, running)
    worker = example.start("worker", "2")
    client = example.start("client", "Hello, Gearman")
    assert client.wait(PATIENCE) == 0, client.report()
    assert client.output == "namraeG ,olleH\n"
    with Client([server]) as python:
        assert python.run("reverse", b"stressed") == b"desserts"
    assert worker.wait(PATIENCE) == 0, worker.report()
    assert worker.output == ""


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_client_of_a_language_is_served_by_a_python_worker(
    language: str, stage: Stage, running: ExitStack, tmp_path: Path
) -> None:
    server = stage.server(Server.GEARTRAIN)
    example = Example(language, server.address, tmp_path, running)
    running.enter_context(stage.start_worker(server, Peer.GEARTRAIN, ""))
    client = example.start("client", "Hello, Gearman")
    assert client.wait(PATIENCE) == 0, client.report()
    assert client.output == "namraeG ,olleH\n"


PHP_CLIENT = """
$client = new GearmanClient();
$client->addServers($argv[1]);
echo $client->doNormal('reverse', 'Hello');
"""


def _slow_server(listening: socket.socket) -> None:
    """Knows an option, which is all that libgearman asks of a server that gets no job, but takes its time."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            connection.recv(100)
            time.sleep(0.05)
            connection.sendall(encode(Packet.OPTION_RES, "exceptions", magic=RES))
            connection.recv(100)


def test_a_php_client_does_not_hang_when_another_server_is_slower(stage: Stage, running: ExitStack) -> None:
    """libgearman would, if ours answered its option before it looks."""
    require("php", "PHP is missing: apt-get install php-cli php-gearman")
    server = stage.server(Server.GEARTRAIN)
    running.enter_context(stage.start_worker(server, Peer.GEARTRAIN, ""))
    listening = running.enter_context(socket.create_server(("127.0.0.1", 0)))
    threading.Thread(target=_slow_server, args=(listening,), daemon=True).start()
    running.callback(listening.shutdown, socket.SHUT_RDWR)
    # It connects to the last one first, and gives that one the job.
    servers = f"127.0.0.1:{listening.getsockname()[1]},{server.address}"
    for _ in range(5):
        with Process("php", "-r", PHP_CLIENT, "--", servers) as client:
            assert client.wait(PATIENCE) == 0, client.report()
            assert client.output == "olleH"
