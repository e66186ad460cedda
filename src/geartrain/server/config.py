"""The configuration: a TOML file, then the environment, then the command line, over the defaults.

`GEARTRAIN_LIMITS_PACKET=1MiB` in the environment, `--set limits.packet=1MiB` on the command line and
`packet = "1 MiB"` under `[limits]` in the file say the same.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Container, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from ..broker.policy import Policy
from ..errors import ConfigError
from ..units import parse_seconds, parse_size
from .options import BYTES, SECONDS, ServerOptions

PREFIX: Final = "GEARTRAIN_"
"""What the environment's variables begin with."""

Key = tuple[str, ...]


class Settings:
    """Values by key, and where each comes from, gathered source by source; the later one counts."""

    def __init__(self) -> None:
        self.values: dict[Key, Any] = {}
        self.origins: dict[Key, str] = {}
        self.ignored: list[str] = []
        """Environment variables that Kubernetes has set for a Service of our name."""

    def read_file(self, path: str) -> None:
        """Take in a TOML file.

        Raises:
            ConfigError: it can't be read, or holds what is no setting; with the key and the line.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: {error}") from None
        except OSError as error:
            raise ConfigError(f"{path} can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path} can't be read: it is no UTF-8") from None
        self._take_table(path, text, (), tables)

    def _take_table(self, path: str, text: str, at: Key, table: dict[str, Any]) -> None:
        for name, value in table.items():
            key = (*at, name)
            origin = f"{path}:{line_of(text, key)}"
            if key in _TABLES:
                if not isinstance(value, dict):
                    raise ConfigError(f"{origin}: {dotted(key)} is a table, not a value")
                self._take_table(path, text, key, value)
            else:
                self.set(key, value, origin)
        for key in _BY_NAME:
            if not at and key[0] in table:
                _look_at_each(path, text, key, self.values[key])

    def read_environment(self, environment: Mapping[str, str], overridden: Container[Key] = ()) -> None:
        """Read the variables that begin with `GEARTRAIN_` and name a setting.

        A setting in `overridden` gets its value from the command line, so its variable is not even looked at.
        """
        self.ignored = [name for name, value in environment.items() if is_of_kubernetes(name, value)]
        for key in _FIELDS:
            name = PREFIX + "_".join(key).upper()
            if name in environment and name not in self.ignored and key not in overridden:
                self.set_text(key, environment[name], name)

    def set_text(self, key: Key, text: str, origin: str) -> None:
        """Take in one value as text: a list's items have commas between them.

        Raises:
            ConfigError: there is no such setting, or it can't have this value.
        """
        field = _field(key, origin)
        value: Any = text
        if str(field.type).startswith("tuple"):
            value = [item.strip() for item in text.split(",") if item.strip()]
        self.set(key, value, origin)

    def set(self, key: Key, value: Any, origin: str) -> None:
        """Take in one value.

        Raises:
            ConfigError: there is no such setting, or it can't have this value.
        """
        field = _field(key, origin)
        try:
            self.values[key] = _convert(key, field, value)
        except ValueError as error:
            is_named = origin in (f"--set {dotted(key)}", _flag(dotted(key)))
            where = origin if is_named else f"{origin}: {dotted(key)}"
            said = str(error).replace("`object`", "`table`").partition(" - at `$")[0]
            raise ConfigError(f"{where}: {said}") from None
        self.origins[key] = origin

    def options(self) -> ServerOptions:
        """The options that came out."""
        top: dict[str, Any] = {}
        tables: dict[str, dict[str, Any]] = {}
        for key, value in self.values.items():
            if len(key) == 1:
                top[key[0]] = value
            else:
                tables.setdefault(key[0], {})[key[1]] = value
        options = ServerOptions(**top)
        for name, values in tables.items():
            options = replace(options, **{name: replace(getattr(options, name), **values)})
        return options

    def print(self) -> str:
        """All settings as a TOML file, those that were set with a remark on where."""
        options = self.options()
        lines: list[str] = []
        table: Key = ()
        for key, field in _FIELDS.items():
            if key[:-1] != table:
                table = key[:-1]
                lines += ["", f"[{dotted(table)}]"]
            owner = getattr(options, key[0]) if len(key) == 2 else options
            line = f"{key[-1]} = {_toml(getattr(owner, key[-1]), field)}"
            lines.append(line + (f"  # {self.origins[key]}" if key in self.origins else ""))
        return "\n".join(lines) + "\n"


def load(
    path: str | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Gather the settings of a file, the environment and the command line, in this order.

    `overrides` are values by dotted key, such as `{"limits.packet": "1MiB"}`.

    Raises:
        ConfigError: one of them can't be understood; with the key and where it stands.
    """
    settings = Settings()
    if path is not None:
        settings.read_file(path)
    overrides = overrides or {}
    settings.read_environment(environment or {}, {tuple(key.split(".")) for key in overrides})
    for key, value in overrides.items():
        if isinstance(value, str):
            settings.set_text(tuple(key.split(".")), value, f"--set {key}" if "." in key else _flag(key))
        else:
            settings.set(tuple(key.split(".")), value, _flag(key))
    return settings


def is_of_kubernetes(name: str, value: str) -> bool:
    """Return whether Kubernetes has set a variable, for a Service named `geartrain` or `gearmand`.

    Into each container it puts `NAME_PORT=tcp://10.0.0.1:4730`, `NAME_PORT_…` and `NAME_SERVICE_…` for every
    Service of the namespace.
    """
    found = re.fullmatch(r"(?:GEARTRAIN|GEARMAND)_(PORT|PORT_.+|SERVICE_.+)", name)
    return found is not None and (found[1] != "PORT" or re.match(r"[a-z]+://", value) is not None)


def dotted(key: Key) -> str:
    """A key as people write it."""
    return ".".join(key)


def line_of(text: str, key: Key) -> int:
    """The line of a TOML file on which a key stands; of its table's header if it has none of its own."""
    table: list[str] = []
    best = 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+([^\[\]]+)\]+\s*(#.*)?$", line)
        if header:
            table = _parts(header[1])
        else:
            assignment = re.match(r"\s*([^=#]+?)\s*=", line)
            found = [*table, *_parts(assignment[1])] if assignment else []
            if found and tuple(found[: len(key)]) == key:
                return number
            continue
        if tuple(table[: len(key)]) == key:
            return number
        if tuple(table) == key[: len(table)]:
            best = number
    return best


def _parts(text: str) -> list[str]:
    return [part.strip().strip("\"'") for part in text.split(".")]


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-").replace(".", "-")


def _walk(model: type, at: Key = ()) -> Iterator[tuple[Key, Field[Any]]]:
    for field in fields(model):
        factory: Any = field.default_factory
        if is_dataclass(factory):
            continue
        yield (*at, field.name), field
    for field in fields(model):
        factory = field.default_factory
        if isinstance(factory, type) and is_dataclass(factory):
            yield from _walk(factory, (*at, field.name))


_FIELDS: Final[dict[Key, Field[Any]]] = dict(_walk(ServerOptions))
"""Every setting by its key, those of tables last."""
_TABLES: Final = {key[:-1] for key in _FIELDS if len(key) > 1}


_BY_NAME: Final[tuple[Key, ...]] = (("functions",), ("schedules",))
"""Settings whose values are tables by a name that people choose, with settings of their own."""


def _look_at_each(path: str, text: str, key: Key, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """See that the settings of functions or schedules can be understood, while their lines are known."""
    from .schedules import Schedule

    for name, settings in tables.items():
        at: Key = (*key, name)
        try:
            if key == ("schedules",):
                Schedule(name, settings, "UTC")
            else:
                for setting, value in settings.items():
                    at = (*key, name, setting)
                    Policy().update({setting: value})
        except ValueError as error:
            said = str(error).removeprefix(f"schedule {name!r}: ").removeprefix(f"{at[-1]}: ")
            line = max(line_of(text, at), line_of(text, at[:-1]))  # it may stand within a value
            raise ConfigError(f"{path}:{line}: {dotted(at)}: {said}") from None


def _field(key: Key, origin: str) -> Field[Any]:
    field = _FIELDS.get(key)
    if field is None:
        names = [dotted(known) for known in (*_FIELDS, *_TABLES)]
        near = difflib.get_close_matches(dotted(key), names, 1)
        near = near or [name for name in names if name.rpartition(".")[2] == key[-1]][:1]
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{origin}: {dotted(key)} is no setting{hint}")
    return field


def _convert(key: Key, field: Field[Any], value: Any) -> Any:
    unit = field.metadata["unit"]
    most = field.metadata["most"]
    if unit == BYTES:
        return parse_size(value)
    kind = _KINDS[key]
    if unit == SECONDS:
        value = parse_seconds(value)
        if most and value > most:
            raise ValueError(f"expected up to {most} seconds, got {value:g}")
        return int(value) if kind is int else value
    # A text may come from the environment, where a number is one, too.
    converted = msgspec.convert(value, kind, strict=not isinstance(value, str))
    if kind is int and (converted < 0 or (most and converted > most)):
        raise ValueError(f"expected a number from 0 {f'to {most}' if most else 'on'}, got {converted}")
    return converted


def _kinds(model: type, at: Key = ()) -> dict[Key, Any]:
    found: dict[Key, Any] = {}
    for name, kind in get_type_hints(model).items():
        if isinstance(kind, type) and is_dataclass(kind):
            found |= _kinds(kind, (*at, name))
        else:
            found[*at, name] = kind
    return found


_KINDS: Final = _kinds(ServerOptions)


def _toml(value: Any, field: Field[Any]) -> str:
    """A value as TOML, in the largest unit that divides it."""
    unit = field.metadata["unit"]
    if unit == BYTES and value:
        for name, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
            if value % factor == 0:
                return f'"{value // factor} {name}"'
    if unit == SECONDS and value:
        return f'"{value:g}s"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(json.dumps(item, ensure_ascii=False) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v, field)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
