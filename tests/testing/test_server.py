"""The job server that tests have in their own process."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from geartrain import Admin, Client
from geartrain.testing import EagerClient, LocalServer
from tests.python import tasks


def test_each_test_has_a_server_of_its_own(gearman_server: LocalServer) -> None:
    gearman_server.work(tasks.worker, threads=2)
    with Client(gearman_server.address, timeout=10) as client:
        assert list(client.map(tasks.square, range(20))) == [n * n for n in range(20)]
    assert tasks.worker.servers == ("127.0.0.1:4730",)


def test_foreign_clients_and_admins_reach_it(gearman_server: LocalServer) -> None:
    with Client(gearman_server.address) as client:
        client.background("nobody", b"x")
    with Admin(gearman_server.address) as admin:
        assert [status.function for status in admin.status()] == ["nobody"]


def test_servers_and_workers_come_and_go_without_a_trace() -> None:
    before = threading.active_count()
    for _ in range(3):
        with LocalServer() as server:
            server.work(tasks.worker)
            with Client(server.address, timeout=10) as client:
                assert client.function(tasks.add)(1, 2) == 3
    assert threading.active_count() == before


def test_what_goes_wrong_at_the_start_is_raised() -> None:
    with pytest.raises(ValueError, match="nowhere"), LocalServer(listen=("nowhere:x",)):
        raise AssertionError


def test_the_recorder_is_a_fixture_too(gearman_recorder: EagerClient) -> None:
    gearman_recorder.background("mail", b"hello")
    assert [job.function for job in gearman_recorder.jobs] == ["mail"]


def test_the_plugin_loads_nothing_before_it_is_asked() -> None:
    program = "import sys, pytest; pytest.main(['--markers']); print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    modules = set(done.stdout.rpartition("loaded")[2].split())
    assert "pytest_geartrain" in modules
    assert not {name for name in modules if name == "geartrain" or name.startswith("geartrain.")}
