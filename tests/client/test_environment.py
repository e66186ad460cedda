"""Servers and TLS files that programs take from the environment, as libgearman does."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from geartrain import Admin, AsyncClient, Client, Worker
from geartrain.errors import ConfigError
from geartrain.tls import _from_environment, context_of
from geartrain.wire.address import parse_address


def test_programs_that_name_no_servers_take_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEARMAN_SERVERS", "one.example, two.example:4731,")
    expected = ["one.example:4730", "two.example:4731"]
    with Client() as client:
        assert list(client.servers) == expected
    assert list(AsyncClient().servers) == expected
    assert list(Worker().servers) == expected
    assert str(Admin()._address) == expected[0]
    with Client("three.example") as client:
        assert list(client.servers) == ["three.example:4730"]
    monkeypatch.delenv("GEARMAN_SERVERS")
    assert list(Worker().servers) == ["127.0.0.1:4730"]


def test_the_files_of_libgearman_are_used_for_tls_unless_ours_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("client")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("GEARMAND_CA_CERTIFICATE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("GEARMAN_CLIENT_PEM", str(tmp_path / "client.pem"))
    monkeypatch.setenv("GEARMAN_CLIENT_KEY", str(tmp_path / "client.pem"))
    server = parse_address("tls:localhost")
    try:
        _from_environment.cache_clear()
        context = context_of(server)
        assert context is not None
        assert len(context.get_ca_certs()) == 1
        monkeypatch.setenv("GEARTRAIN_TLS_CA", str(tmp_path / "missing.pem"))
        _from_environment.cache_clear()
        with pytest.raises(ConfigError, match=r"missing\.pem"):
            context_of(server)
    finally:
        _from_environment.cache_clear()
