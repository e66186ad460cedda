"""Who may do what, where there is an access file: by address, certificate and token."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme

from geartrain import Admin, Client, ServerError, WaitTimeoutError, Worker, tls_context
from geartrain.errors import ConfigError
from geartrain.server.access import Access, Identity
from tests.harness.processes import wait_until
from tests.harness.rawwire import Packet, RawPeer, encode
from tests.harness.servers import JobServer, gearmand_c, geartrain, require

RULES = f"""
# Everybody on this machine may look.
[[rule]]
address = "127.0.0.0/8"
watch = true

[[rule]]
token = "web-secret"
submit = ["resize", "mail.*"]

[[rule]]
token_sha256 = "{hashlib.sha256(b"worker-secret").hexdigest()}"
work = ["resize"]

[[rule]]
address = ["10.0.0.0/8", "unix"]
token = "chief-secret"
submit = ["*"]

[[rule]]
token = "chief-secret"
administer = ["*"]

[[rule]]
token = "mail-chief"
administer = ["mail.*"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    path = tmp_path_factory.mktemp("access") / "access.toml"
    path.write_text(RULES)
    with geartrain(f"--access={path}") as server:
        yield server


def token(peer: RawPeer, text: str) -> RawPeer:
    """Send a token, as any client library can."""
    peer.send(Packet.OPTION_REQ, f"token={text}")
    peer.expect(Packet.OPTION_RES, "token")
    return peer


def denied(peer: RawPeer, type: Packet, *arguments: str | bytes) -> None:
    peer.send(type, *arguments)
    peer.expect(Packet.ERROR, "ACCESS_DENIED", ...)


def ask(peer: RawPeer, line: str) -> bytes:
    peer.send_text(line)
    return peer.recv_line()


def test_nobody_has_rights_that_no_rule_gives(server: JobServer) -> None:
    with server.connect() as peer:
        for type in (
            Packet.SUBMIT_JOB,
            Packet.SUBMIT_JOB_BG,
            Packet.SUBMIT_JOB_HIGH,
            Packet.SUBMIT_JOB_LOW_BG,
        ):
            denied(peer, type, "resize", "", "")
        denied(peer, Packet.SUBMIT_JOB_EPOCH, "resize", "", "1", "")
        denied(peer, Packet.SUBMIT_JOB_SCHED, "resize", "", "", "", "", "", "", "")
        denied(peer, Packet.SUBMIT_REDUCE_JOB, "resize", "", "r", "0", "")
        denied(peer, Packet.CAN_DO, "resize")
        denied(peer, Packet.CAN_DO_TIMEOUT, "resize", "1000")
        for line in ("shutdown", "shutdown graceful", "create function f", "drop function f", "maxqueue f 1"):
            assert ask(peer, line) == b"ERR ACCESS_DENIED You+may+not+do+that\r\n"
        assert ask(peer, "verbose debug").startswith(b"ERR ACCESS_DENIED")
        assert ask(peer, "cancel job H:x:1").startswith(b"ERR ACCESS_DENIED")
        peer.sync()


def test_who_may_watch_sees_the_lists(server: JobServer) -> None:
    with server.connect() as peer:
        for line in ("status", "workers", "prioritystatus", "show jobs", "show unique jobs"):
            peer.send_text(line)
            peer.recv_lines()
        assert ask(peer, "verbose") == b"OK INFO\n"
        assert ask(peer, "version").startswith(b"OK ")
        peer.submit("geartrain.report")
        peer.expect(Packet.WORK_COMPLETE)
        denied(peer, Packet.SUBMIT_JOB, "geartrain.function.set", "", '{"function": "f"}')


def test_who_may_submit_to_a_function_may_know_why_its_jobs_wait(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    path.write_text('[[rule]]\nsubmit = ["resize", "mail.*"]\n')
    with geartrain(f"--access={path}") as server, server.connect() as peer:
        handle = peer.submit("resize", "picture")
        for line in ("status resize", "STATUS  resize", "status resize\r"):
            peer.send_text(line)
            assert peer.recv_lines() == [b"resize\t1\t0\t0"]
        peer.send_text("status mail.never")
        assert peer.recv_lines() == []
        for line in (
            "status",
            "status other",
            "status resize other",
            "prioritystatus resize",
            "workers resize",
        ):
            assert ask(peer, line) == b"ERR ACCESS_DENIED You+may+not+do+that\r\n"
        assert peer.status(handle).known == b"1"
        with Client(server.address) as client:

            def is_told() -> bool:
                with pytest.raises(WaitTimeoutError) as raised:
                    client.run("resize", timeout=0.3)
                return raised.value.workers == 0

            wait_until(is_told, "the server told in time")


def test_a_token_opens_the_functions_of_its_rule(server: JobServer) -> None:
    with server.connect() as client, server.connect() as worker:
        token(client, "web-secret")
        handle = client.submit("resize", "picture")
        client.submit("mail.send", type=Packet.SUBMIT_JOB_BG)
        denied(client, Packet.SUBMIT_JOB, "mailing", "", "")
        denied(client, Packet.CAN_DO, "resize")
        assert client.status(handle).known == b"1"
        token(worker, "worker-secret")
        denied(worker, Packet.CAN_DO, "mail.send")
        worker.can_do("resize")
        assert worker.grab().handle == handle
        worker.complete(handle, "done")
        client.expect(Packet.WORK_COMPLETE, handle, "done")


def test_a_token_that_nobody_has_is_refused(server: JobServer) -> None:
    with server.connect() as peer:
        for wrong in ("", "web", "web-secret ", "WEB-SECRET"):
            denied(peer, Packet.OPTION_REQ, f"token={wrong}")
        denied(peer, Packet.SUBMIT_JOB, "resize", "", "")
        token(peer, "web-secret")
        peer.submit("resize", type=Packet.SUBMIT_JOB_BG)
        for number in range(5):
            denied(peer, Packet.OPTION_REQ, f"token={number}")
        peer.send(Packet.OPTION_REQ, "token=one too many")
        peer.recv_rest()
    server.process.wait_for_output("it tries one token after the other")


def test_a_right_token_behind_too_many_wrong_ones_in_one_breath_opens_nothing(server: JobServer) -> None:
    guesses = [encode(Packet.OPTION_REQ, f"token=guess {number}") for number in range(50)]
    right = encode(Packet.OPTION_REQ, "token=web-secret") + encode(
        Packet.SUBMIT_JOB_BG, "resize", "guessed", ""
    )
    with server.connect() as peer:
        peer.send_bytes(b"".join(guesses) + right)
        peer.recv_rest()
    with server.connect() as peer:
        token(peer, "web-secret")
        peer.send(Packet.GET_STATUS_UNIQUE, "guessed")
        assert peer.recv().args[1] == b"0"


def test_a_rule_for_addresses_holds_on_sockets_for_both_versions() -> None:
    assert Identity("::ffff:10.1.2.3", ()).is_in(ip_network("10.0.0.0/8"))
    assert not Identity("::ffff:11.1.2.3", ()).is_in(ip_network("10.0.0.0/8"))
    assert Identity("fe80::1%eth0", ()).is_in(ip_network("fe80::/10"))


def test_all_that_a_rule_names_has_to_fit(server: JobServer) -> None:
    """This token submits everything, but from elsewhere."""
    with server.connect() as chief:
        token(chief, "chief-secret")
        denied(chief, Packet.SUBMIT_JOB, "resize", "", "")
        assert ask(chief, "maxqueue resize 10") == b"OK\r\n"


def test_who_administers_some_functions_administers_no_others(server: JobServer) -> None:
    with server.connect() as chief, server.connect() as client:
        token(chief, "mail-chief")
        token(client, "web-secret")
        mail = client.submit("mail.cancel", type=Packet.SUBMIT_JOB_BG).decode()
        other = client.submit("resize", type=Packet.SUBMIT_JOB_BG).decode()
        assert ask(chief, f"cancel job {mail}") == b"OK\r\n"
        assert ask(chief, f"cancel job {other}").startswith(b"ERR ACCESS_DENIED")
        assert ask(chief, "create function mail.new") == b"OK\r\n"
        assert ask(chief, "create function new").startswith(b"ERR ACCESS_DENIED")
        assert ask(chief, "shutdown").startswith(b"ERR ACCESS_DENIED")


def test_the_end_of_a_job_is_told_to_those_who_may_submit_it(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    path.write_text(
        '[[rule]]\ntoken = "pay"\nsubmit = "payroll"\nwork = "payroll"\n'
        '[[rule]]\ntoken = "web"\nsubmit = "resize"\n'
    )
    with (
        geartrain(f"--access={path}", "--keep-results=1h") as server,
        server.connect() as owner,
        server.connect() as other,
    ):
        token(owner, "pay")
        token(other, "web")
        other.send(Packet.OPTION_REQ, "exceptions")
        other.expect(Packet.OPTION_RES, "exceptions")
        handle = owner.submit("payroll", type=Packet.SUBMIT_JOB_BG)

        def answers(asked_for: bytes) -> list[bytes]:
            found = []
            for name, kind in (
                ("geartrain.result", Packet.WORK_EXCEPTION),
                ("geartrain.outcome", Packet.WORK_COMPLETE),
            ):
                other.send(Packet.SUBMIT_JOB, name, "", asked_for + b"\n")
                asked = other.expect(Packet.JOB_CREATED, ...)[0]
                found.append(other.expect(kind, asked, ...)[1].replace(asked_for, b"HANDLE"))
                other.send(Packet.SUBMIT_JOB_EPOCH, name, "", "0", asked_for)
                found += other.expect(Packet.ERROR, ..., ...)
            return found

        def refused() -> None:
            # As the handle of no job: a refusal would tell that there is one.
            assert answers(handle) == answers(b"H:unknown:1")

        refused()
        owner.can_do("payroll")
        owner.grab()
        refused()
        owner.complete(handle, "secret")
        owner.sync()
        refused()
        asked = owner.submit("geartrain.result", handle)
        owner.expect(Packet.WORK_COMPLETE, asked, "secret")
        other.submit("geartrain.outcome", "H:unknown:1")
        other.expect(Packet.WORK_COMPLETE)


def test_our_libraries_send_the_token_that_they_are_given(server: JobServer) -> None:
    worker = Worker(server.address, token="worker-secret")

    @worker.function("resize")
    def resize(job):  # type: ignore[no-untyped-def]
        return b"smaller"

    with Client(server.address, token="web-secret") as client:
        future = client.submit("resize", b"picture")
        while not future.done():
            worker.work_one(timeout=10)
        assert future.result(10) == b"smaller"
        with pytest.raises(ServerError, match="ACCESS_DENIED"):
            client.background("other", b"")
    worker.close()
    with Admin(server.address, token="chief-secret") as admin:
        admin.create_function("new")
        admin.drop_function("new")
    with Admin(server.address) as admin, pytest.raises(ServerError, match="ACCESS_DENIED"):
        admin.create_function("new")


def test_a_name_in_the_certificate_opens_the_functions_of_its_rule(tmp_path: Path) -> None:
    authority = trustme.CA()
    for name in ("server", "web-1", "stranger"):
        issued = authority.issue_cert(
            "127.0.0.1" if name == "server" else f"{name}.example", common_name=name
        )
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
    authority.cert_pem.write_to_path(tmp_path / "ca")
    access = tmp_path / "access.toml"
    access.write_text('[[rule]]\ncertificate = "web-*.example"\nsubmit = ["*"]\n')
    options = (f"--tls-certificate={tmp_path}/server", f"--tls-client-ca={tmp_path}/ca", f"--access={access}")
    with geartrain(*options) as server:
        tls = tls_context(f"{tmp_path}/ca", f"{tmp_path}/web-1")
        with Client(server.address, tls=tls, timeout=10) as client:
            client.background("f")
        tls = tls_context(f"{tmp_path}/ca", f"{tmp_path}/stranger")
        with (
            Client(server.address, tls=tls, timeout=10) as client,
            pytest.raises(ServerError, match="ACCESS"),
        ):
            client.background("f")


def test_changed_rules_count_from_sighup_on(tmp_path: Path) -> None:
    access = tmp_path / "access.toml"
    access.write_text('[[rule]]\nsubmit = ["f"]\nwork = ["f"]\nwatch = true\n')
    with geartrain(f"--access={access}") as server, server.connect() as client, server.connect() as worker:
        worker.can_do("f")
        handle = client.submit("f")
        assert worker.grab().handle == handle
        access.write_text("[[rule]]\nsubmits = []\n")
        server.process.signal(signal.SIGHUP)
        server.process.wait_for_output("access.toml:1: rule 1: 'submits' is no part of a rule")
        client.submit("f")
        access.write_text('[[rule]]\nsubmit = ["g"]\nwatch = true\n')
        server.process.signal(signal.SIGHUP)
        worker.expect_closed()
        server.process.wait_for_output("it may not do any more what it announced")
        denied(client, Packet.SUBMIT_JOB, "f", "", "")
        client.submit("g")
        wait_until(lambda: client.status(handle).running == b"0", "the job went back")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[rule]]\nsubmit = 1", ":1: rule 1: submit: expected a text or a list of them, got 1"),
        ('[[rule]]\n\n[[rule]]\naddress = "here"', ":3: rule 2: address: expected one such as '10.0.0.0/8'"),
        ('[[rule]]\ntoken_sha256 = "abc"', ":1: rule 1: token_sha256: expected 64 hexadecimal digits"),
        ("[[rule]]\nwatch = 1", ":1: rule 1: watch: expected true or false, got 1"),
        ('[[rule]]\ntoken = []\nsubmit = "*"', ":1: rule 1: token: the list is empty"),
        ("[[rule]]\naddress = []\nwatch = true", ":1: rule 1: address: the list is empty"),
        ("rule = [1]\n", ": expected rules, each beginning with [[rule]]"),
        ("[[rules]]\n", ": expected rules, each beginning with [[rule]]"),
        ("[[rule]\n", "Expected ']]'"),
    ],
)
def test_an_error_in_the_rules_names_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Access(str(path))
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


def test_a_token_means_nothing_to_a_server_without_rules() -> None:
    with geartrain() as server, server.connect() as peer:
        token(peer, "anything")
    require("gearmand", "gearmand (C) is missing: apt-get install gearman-job-server")
    with gearmand_c() as server, Client(server.address, token="anything", timeout=10) as client:
        assert client.background("f")


def test_how_a_job_is_doing_is_unknown_to_those_who_may_not_submit_it(tmp_path: Path) -> None:
    rules = tmp_path / "access.toml"
    rights = {
        "all": 'submit = ["*"]\nwork = ["*"]', "thumb": 'submit = ["thumb"]',
        "worker": 'work = ["secret"]', "watcher": "watch = true",
    }  # fmt: skip
    rules.write_text("\n".join(f'[[rule]]\ntoken = "{name}"\n{right}' for name, right in rights.items()))
    answers = {
        Packet.GET_STATUS: Packet.STATUS_RES,
        Packet.GET_STATUS_UNIQUE: Packet.STATUS_RES_UNIQUE,
    }
    with geartrain(f"--access={rules}") as server, server.connect() as owner:

        def known(name: str, question: Packet, about: str | bytes) -> bool:
            with server.connect() as peer:
                token(peer, name)
                peer.send(question, about)
                return peer.expect(answers[question])[1] == b"1"

        token(owner, "all")
        secret = owner.submit("secret", unique="u", type=Packet.SUBMIT_JOB_BG)
        thumb = owner.submit("thumb", unique="u", type=Packet.SUBMIT_JOB_BG)
        assert known("thumb", Packet.GET_STATUS, thumb)
        assert not known("thumb", Packet.GET_STATUS, secret)
        # Of the two jobs with that unique it knows its own.
        assert known("thumb", Packet.GET_STATUS_UNIQUE, "u")
        for name in ("all", "worker", "watcher"):
            assert known(name, Packet.GET_STATUS, secret)
