"""Addresses as people see them."""

from __future__ import annotations

from geartrain.wire.address import parse_address


def test_an_address_shows_how_it_is_written_and_never_its_token() -> None:
    for text in ("queue.example.org:4730", "[::1]:4730", "unix:/run/geartrain.sock", "tls:[::1]:4731"):
        address = parse_address(text)._replace(token=b"secret")
        assert str(address) == text
        assert repr(address) == f"<Address {text}>"
