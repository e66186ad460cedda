"""Hostile inputs from a seed: each is some bytes that one peer sends.

Most begin as what a real peer would send, so that they get past the first check.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Final

from geartrain.wire.packets import LAST, PACKETS

REQ: Final = b"\0REQ"
RES: Final = b"\0RES"
MAX_SIZES: Final = (0, 1, 11, 12, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 128 * 1024 * 1024 + 1)

FUNCTIONS: Final = (b"f", b"g", b"h", b"", b"\xff\xfe", b"with space", b"line\nend", b"x" * 600, b"fuzz\tf")
UNIQUES: Final = (b"", b"", b"-", b"u", b"u" * 64, b"u" * 65, b"\0", b"\n.\n")
NUMBERS: Final = (b"0", b"1", b"-1", b"10", b"9" * 30, b"1e9", b"", b"\xc2\xb2", b"0x10", b"100")
WORDS: Final = (
    *(b"status", b"workers", b"prioritystatus", b"show", b"jobs", b"unique", b"cancel", b"job", b"create"),
    *(
        b"drop",
        b"function",
        b"maxqueue",
        b"getpid",
        b"verbose",
        b"version",
        b"STATUS",
        b"f",
        b"g",
        b"1",
        b"0",
    ),
    *(b"-1", b"99999999999999999999", b"\xff", b"\0", b"H:x:1", b"info", b"\t", b"\r", b"debug"),
)
BUILTINS: Final = tuple(
    b"geartrain." + name
    for name in (
        *(b"result", b"outcome", b"function.list", b"function.set", b"dead.list", b"dead.show"),
        *(
            b"dead.requeue",
            b"dead.drop",
            b"schedule.list",
            b"schedule.set",
            b"schedule.drop",
            b"report",
            b"x",
        ),
    )
)
FORBIDDEN: Final = b"shutdown"
"""What would end the server as it should."""

# How many of a hundred inputs are of which kind.
WEIGHTS: Final = (25, 20, 10, 10, 10, 10, 5, 5, 5)


class Generator:
    """Inputs from one seed. `handles` may be filled with handles that the server gave out."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.handles: list[bytes] = []
        self._kinds: list[Callable[[], bytes]] = [
            self._session,
            self._mutated_session,
            self._any_count_of_arguments,
            self._text,
            self._builtin,
            self._header,
            self._noise,
            self._wrong_magic,
            self._long_line,
        ]

    def input(self) -> bytes:
        """The next input."""
        while True:
            (kind,) = self._random.choices(self._kinds, WEIGHTS)
            found = kind()
            if FORBIDDEN not in found.lower():
                return found

    def chunks(self, data: bytes) -> list[bytes]:
        """The same bytes as they may arrive: whole, or cut somewhere."""
        if len(data) < 2 or self._random.random() < 0.7:
            return [data]
        cuts = sorted(self._random.randrange(len(data)) for _ in range(self._random.randint(1, 3)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def chance(self, of: float) -> bool:
        """True in that share of the cases."""
        return self._random.random() < of

    def below(self, count: int) -> int:
        """A number from 0 on below `count`."""
        return self._random.randrange(count)

    # Kinds

    def _session(self) -> bytes:
        return b"".join(self._packet() for _ in range(self._random.randint(1, 6)))

    def _mutated_session(self) -> bytes:
        data = bytearray(self._session())
        for _ in range(self._random.randint(1, 4)):
            if not data:
                break
            at = self._random.randrange(len(data))
            match self._random.randrange(5):
                case 0:
                    data[at] = self._random.randrange(256)
                case 1:
                    del data[at : at + self._random.randint(1, 20)]
                case 2:
                    data[at:at] = self._random.randbytes(self._random.randint(1, 20))
                case 3:
                    data[at:at] = data[at : at + 40]
                case _:
                    del data[at:]
        return bytes(data)

    def _any_count_of_arguments(self) -> bytes:
        type = self._random.randrange(LAST + 3)
        return _packet(type, [self._argument() for _ in range(self._random.randrange(11))])

    def _text(self) -> bytes:
        words = [self._random.choice(WORDS) for _ in range(self._random.randint(0, 6))]
        if self.handles and self._random.random() < 0.2:
            words = [b"cancel", b"job", self._random.choice(self.handles)]
        return self._random.choice((b" ", b"  ", b"\t")).join(words) + self._random.choice(
            (b"\n", b"\r\n", b"")
        )

    def _builtin(self) -> bytes:
        values: tuple[object, ...] = (1, -1, "f", "1s", None, True, [], {}, "x" * 200, 1e300, "*/5 * * * *")
        keys = ("function", "handle", "all", "limit", "rate", "timeout", "max_attempts", "name", "cron")
        chosen = {self._random.choice(keys): self._random.choice(values) for _ in range(3)}
        workload = json.dumps(chosen).encode() if self._random.random() < 0.7 else self._argument()
        return _packet(self._random.choice((7, 18)), [self._random.choice(BUILTINS), b"", workload])

    def _header(self) -> bytes:
        """A header that promises anything, and a body that may keep it."""
        magic = self._random.choice((REQ, REQ, REQ, RES, b"\0REX", b"\0\0\0\0"))
        type = self._random.choice((self._random.randrange(45), self._random.getrandbits(32)))
        size = self._random.choice((*MAX_SIZES, self._random.randrange(300)))
        return magic + type.to_bytes(4, "big") + size.to_bytes(4, "big") + bytes(self._random.randrange(100))

    def _noise(self) -> bytes:
        return self._random.randbytes(self._random.randrange(200))

    def _wrong_magic(self) -> bytes:
        return _packet(self._random.randrange(LAST + 1), [self._argument()], RES)

    def _long_line(self) -> bytes:
        size = self._random.choice(
            (8191, 8192, 8193, 20_000, 1_000_000 if self._random.random() < 0.02 else 9_000)
        )
        return self._random.choice((b"x", b"status ", b"\xff"))[:7] * size + self._random.choice((b"\n", b""))

    # Parts

    def _packet(self) -> bytes:
        """A packet as a real peer would send it, of any type that there is."""
        type = self._random.choice(_TYPES)
        arguments = [self._named(name) for name in PACKETS[type].arguments]
        return _packet(type, arguments)

    def _named(self, name: str) -> bytes:
        choose = self._random.choice
        if name == "function":
            return choose(FUNCTIONS[:3]) if self._random.random() < 0.8 else choose(FUNCTIONS)
        if name == "unique":
            return choose(UNIQUES)
        if name == "handle":
            return choose(self.handles) if self.handles and self._random.random() < 0.8 else b"H:x:1"
        if name in ("numerator", "denominator", "timeout", "epoch", "aggregate"):
            return choose(NUMBERS)
        if name == "option":
            return choose((b"exceptions", b"EXCEPTIONS", b"", b"token=x"))
        return self._argument()

    def _argument(self) -> bytes:
        return self._random.choice(
            (b"", b"w", self._random.randbytes(self._random.randrange(40)), *FUNCTIONS[:4], *NUMBERS[:4])
        )


_TYPES: Final = tuple(
    # Workers do most of what can go wrong.
    [type for type, packet in PACKETS.items() for _ in range(3 if packet.request else 1)]
)


def _packet(type: int, arguments: list[bytes], magic: bytes = REQ) -> bytes:
    body = b"\0".join(arguments)
    return magic + type.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body
