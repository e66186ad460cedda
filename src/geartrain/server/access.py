"""Who may do what: the rules of the access file, and whether a peer's packet is covered by them.

A rule says to whom it applies (an address, a name in the peer's certificate, a token; all that it names have
to fit) and what they may do, by patterns of function names. A peer has the rights of every rule that applies
to it, and no others. Nothing here is asked unless there is an access file.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import re
import tomllib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final, cast

from ..broker import Broker, Peer
from ..errors import ConfigError
from ..wire import packets as p
from ..wire.text import status_name, text_of
from .connection import Connection

WRONG_TOKENS: Final = 10
"""Tokens that nobody has which a peer may send; then it is dropped."""
DENIED: Final = b"You may not do that"

_RIGHTS: Final = ("submit", "work", "administer")
_SUBMISSIONS: Final = frozenset(
    type for type, packet in p.PACKETS.items() if packet.name.startswith(("SUBMIT_JOB", "SUBMIT_REDUCE"))
)
_QUESTIONS: Final = frozenset({b"status", b"prioritystatus", b"workers", b"show", b"journal"})
_WATCHED: Final = frozenset(
    f"geartrain.{name}"
    for name in ("report", "function.list", "dead.list", "dead.show", "schedule.list", "quarantine.list")
)
_OWN: Final = frozenset({"geartrain.result", "geartrain.outcome"})
_REMEMBERED: Final = 1000
"""Answers that are remembered for a peer."""


class Rule:
    """One rule: to whom it applies, and what they may do."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.networks = [_network(text) for text in _texts(settings, "address")]
        self.certificates = [_pattern(text) for text in _texts(settings, "certificate")]
        self.tokens = [_digest(text.encode()) for text in _texts(settings, "token")]
        self.tokens += [_hex_digest(text) for text in _texts(settings, "token_sha256")]
        for key in ("address", "certificate", "token", "token_sha256"):
            # A rule that asks for nothing applies to everybody; nobody means that by an empty list.
            if settings.get(key) == []:
                raise ValueError(f"{key}: the list is empty; leave it out if the rule does not ask for one")
        self.rights = {right: [_pattern(text) for text in _texts(settings, right)] for right in _RIGHTS}
        self.watch = settings.get("watch", False)
        if not isinstance(self.watch, bool):
            raise ValueError(f"watch: expected true or false, got {self.watch!r}")
        known = {"address", "certificate", "token", "token_sha256", "watch", *_RIGHTS}
        if unknown := sorted(set(settings) - known):
            raise ValueError(f"{unknown[0]!r} is no part of a rule")

    def applies(self, identity: Identity) -> bool:
        """Whether a peer has what the rule asks for."""
        return (
            (not self.networks or any(identity.is_in(network) for network in self.networks))
            and (
                not self.certificates
                or any(pattern.match(name) for pattern in self.certificates for name in identity.names)
            )
            and (not self.tokens or any(token in identity.tokens for token in self.tokens))
        )


class Identity:
    """What is known of one peer: its address, the names in its certificate, the tokens that it sent."""

    def __init__(self, address: str, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.tokens: set[bytes] = set()
        self.wrong_tokens = 0
        # Its rules, and what was answered before; made anew when a token or other rules come.
        self.rules: list[Rule] | None = None
        self.answers: dict[tuple[str, str], bool] = {}
        self._unix = address == "unix"
        found = None if self._unix else ip_address(address.partition("%")[0])
        # A socket for both versions shows those of the fourth as some of the sixth.
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        self._address = mapped or found

    def is_in(self, network: IPv4Network | IPv6Network | None) -> bool:
        """Whether it comes from there; None stands for the Unix sockets."""
        return self._unix if network is None else self._address is not None and self._address in network

    def forget(self) -> None:
        """Its rules may be others now."""
        self.rules = None
        self.answers = {}


class Access:
    """The rules of one server.

    Raises:
        ConfigError: the file can't be used; with the line and what is wrong there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._rules = _read(path)
        self._broker: Broker | None = None

    def reload(self) -> None:
        """Read the file again, for the peers that are there, too.

        Raises:
            ConfigError: it can't be used. Then nothing changes.
        """
        self._rules = _read(self._path)
        if self._broker is not None:
            for peer in self._broker.peers:
                peer.identity.forget()

    def guard(self, broker: Broker) -> None:
        """Have everything that peers of a broker ask for checked."""
        self._broker = broker
        broker.guard_with(self.check, self.take_token, self.may_know, self.may_ask_of)

    # What the broker asks

    def check(self, peer: Peer, type: int, body: bytes) -> bytes:
        """Why a peer may not send this packet; empty if it may."""
        if type == p.TEXT:
            name = status_name(body)
            allowed = self._may_say(peer, body.split()) or (
                # Whoever waits for a function's jobs may know why they take so long.
                bool(name) and self._may(peer, "submit", text_of(name))
            )
        elif type in _SUBMISSIONS:
            allowed = self._may_submit(peer, text_of(body.partition(b"\0")[0]))
        elif type in (p.CAN_DO, p.CAN_DO_TIMEOUT):
            allowed = self._may(peer, "work", text_of(body.partition(b"\0")[0]))
        else:
            # Questions about jobs: for everybody who is known at all.
            allowed = bool(self._rules_of(peer))
        return b"" if allowed else DENIED

    def may_know(self, peer: Peer, function: bytes) -> bool:
        """Return whether a peer may ask about the jobs of a function: it submits or does them, or watches."""
        name = text_of(function)
        return (
            self._may(peer, "submit", name)
            or self._may(peer, "work", name)
            or self._may(peer, "administer", name)
            or self._may_watch(peer)
        )

    def take_token(self, peer: Peer, token: bytes) -> bool:
        """A peer sent a token: whether any rule knows it."""
        identity: Identity = peer.identity
        if identity.wrong_tokens >= WRONG_TOKENS:
            return False  # it is dropped already; this came with what it sent before
        digest = _digest(token)
        known = any(hmac.compare_digest(digest, each) for rule in self._rules for each in rule.tokens)
        if known:
            identity.tokens.add(digest)
            identity.forget()
        else:
            identity.wrong_tokens += 1
            if identity.wrong_tokens == WRONG_TOKENS:
                cast(Connection, peer.connection).drop("it tries one token after the other")
        return known

    def keeps(self, peer: Peer) -> bool:
        """Whether a worker may still do all that it announced."""
        return all(self._may(peer, "work", text_of(name)) for name in peer.abilities)

    # Rights

    def _may_submit(self, peer: Peer, function: str) -> bool:
        if not function.startswith("geartrain."):
            return self._may(peer, "submit", function)
        if function in _OWN:
            # Whose jobs it may ask about: see `may_ask_of`.
            return any(rule.rights["submit"] for rule in self._rules_of(peer))
        return self._may_watch(peer) if function in _WATCHED else self._may(peer, "administer", "*")

    def may_ask_of(self, peer: Peer, handle: bytes) -> bool:
        """Return whether a peer may know how the job with a handle ended: it may submit such jobs.

        Otherwise it is answered as for the handle of no job. Handles count up, so they are no secret that
        could stand for a right, and a refusal would tell that there is a job.
        """
        assert self._broker is not None
        jobs = self._broker.jobs
        outcome = jobs.results.get(handle, jobs.wall)
        if outcome is not None:
            return self._may(peer, "submit", text_of(outcome.function))
        job = jobs.by_handle.get(handle) or jobs.dead.get(handle)
        return job is None or self._may(peer, "submit", text_of(job.function.name))

    def _may_say(self, peer: Peer, words: list[bytes]) -> bool:
        word = words[0].lower() if words else b""
        if word in _QUESTIONS or (word == b"verbose" and len(words) == 1):
            return self._may_watch(peer)
        if word == b"maxqueue" and len(words) > 1:
            return self._may(peer, "administer", text_of(words[1]))
        if word in (b"create", b"drop", b"cancel") and len(words) > 2:
            name = words[2]
            if word == b"cancel" and self._broker is not None:
                job = self._broker.jobs.by_handle.get(name)
                name = job.function.name if job is not None else b"*"
            return self._may(peer, "administer", text_of(name))
        if word in (b"shutdown", b"verbose"):
            return self._may(peer, "administer", "*")
        return bool(self._rules_of(peer))

    def _may_watch(self, peer: Peer) -> bool:
        return any(rule.watch or rule.rights["administer"] for rule in self._rules_of(peer))

    def _may(self, peer: Peer, right: str, function: str) -> bool:
        """Whether a peer has a right for a function, or for all of them, which is written `*`."""
        answers = peer.identity.answers
        answer: bool | None = answers.get((right, function))
        if answer is None:
            answer = any(
                pattern.match(function) for rule in self._rules_of(peer) for pattern in rule.rights[right]
            )
            if len(answers) >= _REMEMBERED:
                answers.clear()
            answers[right, function] = answer
        return answer

    def _rules_of(self, peer: Peer) -> list[Rule]:
        identity: Identity = peer.identity
        if identity.rules is None:
            identity.rules = [rule for rule in self._rules if rule.applies(identity)]
        return identity.rules


def names_of(certificate: Mapping[str, Any] | None) -> list[str]:
    """The names in a peer's certificate as `ssl` tells of it: common names and alternative names."""
    if not certificate:
        return []
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return [*names, *(value for _, value in certificate.get("subjectAltName", ()) if isinstance(value, str))]


def _read(path: str) -> list[Rule]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"access: {path} can't be read: {error}") from None
    rules = tables.pop("rule", [])
    if tables or not (isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules)):
        raise ConfigError(f"{path}: expected rules, each beginning with [[rule]]")
    lines = [
        number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("[[rule]]")
    ]
    found: list[Rule] = []
    for number, settings in enumerate(rules):
        try:
            found.append(Rule(settings))
        except ValueError as error:
            where = lines[number] if len(lines) == len(rules) else 1
            raise ConfigError(f"{path}:{where}: rule {number + 1}: {error}") from None
    return found


def _texts(settings: Mapping[str, Any], key: str) -> list[str]:
    value = settings.get(key, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) and item for item in values):
        raise ValueError(f"{key}: expected a text or a list of them, got {value!r}")
    return values


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return None if text == "unix" else ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"address: expected one such as '10.0.0.0/8' or 'unix', got {text!r}") from None


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _hex_digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError(f"token_sha256: expected 64 hexadecimal digits, got {text!r}")
    return digest
