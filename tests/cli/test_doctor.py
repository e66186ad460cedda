"""geartrain doctor finds what is wrong, and says what to do."""

from __future__ import annotations

import json

from tests.harness.processes import free_port
from tests.harness.rawwire import Packet
from tests.harness.servers import JobServer, gearmand_c, geartrain

from .command import run


def findings(server: JobServer | None, *arguments: str, code: int) -> dict[str, tuple[str, str]]:
    done = run("doctor", "--json", *arguments, server=server)
    assert done.code == code, done
    return {row["what"]: (row["verdict"], row["advice"]) for row in json.loads(done.out)}


def test_a_server_that_is_well_has_nothing_bad() -> None:
    with geartrain() as server, server.connect() as worker:
        worker.can_do("resize")
        found = findings(server, code=0)
        assert "1 function of 100,000" in found
        # Of the form that the server runs in it knows nothing.
        assert [found[what] for what in found if what.startswith("this command: Python")] == [("good", "")]
        assert found["journal memory"] == ("look", "background jobs end with the server")
        assert all(verdict != "bad" for verdict, _ in found.values())
        assert any(what.startswith("an echo takes") for what in found)


def test_jobs_that_nobody_can_do_are_bad() -> None:
    with geartrain() as server, server.connect() as client:
        client.submit("resize", type=Packet.SUBMIT_JOB_BG)
        found = findings(server, code=1)
        assert found["'resize': 1 job waiting"] == ("bad", "no worker announces it")


def test_a_limit_that_is_nearly_reached_is_named() -> None:
    with geartrain("--set=limits.functions=10") as server, server.connect() as client:
        client.can_do(*"abcdefghi")
        found = findings(server, code=0)
        assert found["9 functions of 10"] == ("look", "raise limits.functions")


def test_a_server_that_anybody_may_use_is_bad() -> None:
    with geartrain("--listen=0.0.0.0:0") as server:
        found = findings(server, code=1)
        assert any(
            advice.startswith("anybody may use it") for verdict, advice in found.values() if verdict == "bad"
        )


def test_a_server_that_is_not_there_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    found = findings(None, "--server", address, code=3)
    assert "is it running" in found["reach it"][1]


def test_gearmand_is_looked_at_too_and_left_as_it_was() -> None:
    with gearmand_c() as server:
        found = findings(server, code=0)
        assert found["its numbers"][0] == "look"
        with server.connect() as asker:
            asker.send_text("status")
            assert asker.recv_lines() == []
