"""Codecs: the arguments and results of typed functions as bytes.

A function's declaration chooses the codec, `@worker.function(codec=MessagePack())`, and callers use the same.
The workload is plain data of that format: an array of the arguments in order, or an object (a map) by name.
The result is the value itself.
"""

from __future__ import annotations

import pickle
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from types import NoneType
from typing import Any, ClassVar, Final

import msgspec

__all__ = ["JSON", "YAML", "Bytes", "Codec", "MessagePack", "UnsafePickle", "UnsafePickleWarning"]

Arguments = Sequence[Any] | Mapping[str, Any]
"""The arguments of one call, by position or by name."""

PICKLE_PROTOCOL: Final = 5
"""Highest protocol of the oldest supported Python."""

_PARTS: Final[Any] = list[msgspec.Raw] | dict[str, msgspec.Raw]
_YAML_TYPES: Final = (datetime, date)


class Codec(ABC):
    """One format. A subclass for another format defines `encode` and `decoder`.

    A decoder raises `ValueError` for malformed bytes and values of another type. Its text names the place.
    """

    name: ClassVar[str] = ""
    """The format's name, for messages."""
    single: ClassVar[bool] = False
    """Whether it holds exactly one argument."""

    @abstractmethod
    def encode(self, value: object) -> bytes:
        """Return a result as bytes; raise TypeError if the format can't hold it."""

    @abstractmethod
    def decoder(self, type: Any) -> Callable[[bytes], Any]:
        """Return a function that makes a value of `type`, an annotation, from encoded bytes."""

    def encode_arguments(self, arguments: Arguments) -> bytes:
        """Return the arguments of a call as a workload."""
        return self.encode(arguments)

    def split(self, workload: bytes) -> Arguments:
        """Return the arguments of a workload, each for a `part_decoder`.

        Raises:
            ValueError: the workload is neither an array nor an object.
        """
        return _checked(self.decoder(Any)(workload))

    def split_part(self, part: Any) -> Arguments:
        """Return the arguments inside a part that `split` returned."""
        return _checked(part)

    def part_decoder(self, type: Any) -> Callable[[Any], Any]:
        """Return a function that makes a value of `type` from an argument that `split` returned."""
        return partial(msgspec.convert, type=type)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class JSON(Codec):
    """JSON (RFC 8259), the default: every language reads and writes it.

    Numbers, text, bool, None, lists, dicts, and by their annotation dataclasses, `msgspec.Struct`, TypedDict,
    NamedTuple, enums, sets, tuples, `datetime` and its kin (ISO 8601 text), bytes (Base64 text), UUID and
    Decimal (text). Without an annotation they come back as plain lists, dicts and text. JSON knows no NaN and
    no infinity: they become null.
    """

    name = "JSON"

    def __init__(self) -> None:
        self._split: Callable[[bytes], Arguments] = msgspec.json.Decoder(_PARTS).decode
        self._encode = msgspec.json.Encoder().encode

    def encode(self, value: object) -> bytes:
        """Return a result as bytes; raise TypeError if the format can't hold it."""
        return self._encode(value)

    def decoder(self, type: Any) -> Callable[[bytes], Any]:
        """Return a function that makes a value of `type` from JSON."""
        return msgspec.json.Decoder(type).decode

    def split(self, workload: bytes) -> Arguments:
        """Return the arguments of a workload, each as raw JSON."""
        # An empty workload calls a function without parameters.
        return self._split(workload) if workload else ()

    def split_part(self, part: Any) -> Arguments:
        """Return the arguments inside a part of a workload."""
        return self._split(part)

    def part_decoder(self, type: Any) -> Callable[[Any], Any]:
        """Return a function that makes a value of `type` from an argument's JSON."""
        return self.decoder(type)


class MessagePack(Codec):
    """MessagePack: the types of JSON in less room, and bytes and datetimes as such."""

    name = "MessagePack"

    def __init__(self) -> None:
        self._split: Callable[[bytes], Arguments] = msgspec.msgpack.Decoder(_PARTS).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def encode(self, value: object) -> bytes:
        """Return a result as bytes; raise TypeError if the format can't hold it."""
        return self._encode(value)

    def decoder(self, type: Any) -> Callable[[bytes], Any]:
        """Return a function that makes a value of `type` from MessagePack."""
        return msgspec.msgpack.Decoder(type).decode

    def split(self, workload: bytes) -> Arguments:
        """Return the arguments of a workload, each as raw MessagePack."""
        return self._split(workload) if workload else ()

    def split_part(self, part: Any) -> Arguments:
        """Return the arguments inside a part of a workload."""
        return self._split(part)

    def part_decoder(self, type: Any) -> Callable[[Any], Any]:
        """Return a function that makes a value of `type` from an argument's MessagePack."""
        return self.decoder(type)


class YAML(Codec):
    """YAML, read safely: plain data, no objects, no aliases. Needs `pip install 'geartrain[yaml]'`."""

    name = "YAML"

    def __init__(self) -> None:
        try:
            import yaml
        except ImportError:
            raise ImportError("the YAML codec needs PyYAML: pip install 'geartrain[yaml]'") from None
        self._yaml = yaml
        self._loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        self._dumper = type("PlainDumper", (dumper,), {"ignore_aliases": lambda self, data: True})

    def encode(self, value: object) -> bytes:
        """Return a result as bytes; raise TypeError if the format can't hold it."""
        plain = msgspec.to_builtins(value, builtin_types=_YAML_TYPES)
        dumped: str = self._yaml.dump(plain, Dumper=self._dumper, allow_unicode=True, sort_keys=False)
        return dumped.encode()

    def decoder(self, type: Any) -> Callable[[bytes], Any]:
        """Return a function that makes a value of `type` from YAML."""
        convert = self.part_decoder(type)
        return lambda data: convert(self._load(data))

    def split(self, workload: bytes) -> Arguments:
        """Return the arguments of a workload as plain data."""
        return _checked(self._load(workload)) if workload else ()

    def part_decoder(self, type: Any) -> Callable[[Any], Any]:
        """Return a function that makes a value of `type` from plain data."""
        return partial(msgspec.convert, type=type, builtin_types=_YAML_TYPES)

    def _load(self, data: bytes) -> Any:
        yaml, loader = self._yaml, self._loader
        try:
            # Aliases of aliases unfold a few lines to gigabytes.
            if b"*" in data and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, loader)):
                raise ValueError("aliases are not taken")
            return yaml.load(data, loader)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
            # PyYAML's constructors raise these for a scalar that contradicts its tag.
            raise ValueError(f"YAML is malformed: {error}") from None


class Bytes(Codec):
    """No format: the workload is the only argument. For bytes and text (UTF-8)."""

    name = "bytes"
    single = True

    def encode(self, value: object) -> bytes:
        """Return a result as bytes; raise TypeError if it is neither bytes nor text."""
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        if value is None:
            return b""
        raise TypeError(f"the bytes codec takes bytes, text or None, not {type(value).__name__}")

    def decoder(self, type: Any) -> Callable[[bytes], Any]:
        """Return a function that makes bytes, or text for `str`, from bytes."""
        if type is str:
            return _text
        if type in (None, NoneType):
            return _nothing
        if type not in (bytes, Any, object):
            raise TypeError(f"the bytes codec can't make {type!r} out of bytes: annotate bytes or str")
        return bytes

    def encode_arguments(self, arguments: Arguments) -> bytes:
        """Return the only argument as a workload."""
        (value,) = arguments.values() if isinstance(arguments, Mapping) else arguments
        return self.encode(value)

    def split(self, workload: bytes) -> Arguments:
        """Return the only argument."""
        return (workload,)

    def part_decoder(self, type: Any) -> Callable[[Any], Any]:
        """Return a function that makes bytes, or text for `str`, from the argument."""
        return self.decoder(type)


class UnsafePickleWarning(UserWarning):
    """Warning for the pickle codec: every client of the server can run any code in the worker."""


class UnsafePickle(Codec):
    """Python's pickle, for servers that only your own, trusted Python programs can reach.

    Unpickling runs code that the sender chose. So every client and every worker of the server can run any
    code in your process. The constructor warns of that with `UnsafePickleWarning`.
    """

    name = "pickle"

    def __init__(self) -> None:
        warnings.warn(
            "unpickling runs any code that the sender of a job or of a result wrote into it: "
            "use UnsafePickle only between programs that trust each other",
            UnsafePickleWarning,
            stacklevel=2,
        )

    def encode(self, value: object) -> bytes:
        """Return a result as bytes; raise TypeError if it can't be pickled."""
        try:
            return pickle.dumps(value, PICKLE_PROTOCOL)
        except (pickle.PicklingError, AttributeError) as error:
            raise TypeError(str(error)) from None

    def decoder(self, type: Any) -> Callable[[bytes], Any]:
        """Return a function that unpickles and checks the type."""

        def decode(data: bytes) -> Any:
            return msgspec.convert(_unpickle(data), type)

        return decode


def _unpickle(data: bytes) -> Any:
    try:
        return pickle.loads(data) if data else ()
    except Exception as error:
        raise ValueError(f"pickle is malformed: {error}") from None


def _checked(value: Any) -> Arguments:
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return value
    raise ValueError(f"Expected `object | array`, got `{type(value).__name__}`")


def _text(data: bytes) -> str:
    return bytes(data).decode()


def _nothing(data: bytes) -> None:
    if data:
        raise ValueError("Expected nothing")
