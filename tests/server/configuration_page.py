"""Makes docs/configuration.md from the options: `python -m tests.server.configuration_page`."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from geartrain.server import ServerOptions
from geartrain.server.config import _toml

PATH: Final = Path(__file__).parents[2] / "docs" / "configuration.md"
INTRODUCTION: Final = """\
# Configuration

A job server is set up by a TOML file, environment variables and flags; what comes later in this list goes
before what came earlier, and everything has a default that a stranger can trust. The three say the same:

```
geartrain serve --config geartrain.toml    # with  packet = "16 MiB"  under  [limits]
GEARTRAIN_LIMITS_PACKET=16MiB geartrain serve
geartrain serve --set limits.packet=16MiB
```

`geartrain serve --print-config` shows every setting, its value and where it is from, as a file to begin with.
A mistake is named with its key and its place, and nothing starts:

```
geartrain: geartrain.toml:4: limits.packt is no setting; did you mean limits.packet?
```

Sizes are numbers of bytes or texts such as `"64 MiB"`, lengths of time are seconds or texts such as
`"500ms"`, `"30s"`, `"10m"`, `"1h"` or `"7d"`. In the environment and with `--set` the items of a list have
commas between them.

SIGHUP reads the certificates and the [access file](security.md) again. The log's level is changed while the
server runs: `geartrain admin verbose debug`.

The defaults are those of a server that a program starts. `geartrain serve` has another one for `journal`:
the file `journal.db` in this user's state folder, so that background jobs survive; `--print-config` shows
where that is.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _table("", ServerOptions)]
    for field in fields(ServerOptions):
        model: Any = field.default_factory
        if is_dataclass(model):
            parts.append(f"\n## [{field.name}]\n\n{(model.__doc__ or '').strip()}\n")
            parts.append(_table(field.name, model))
    return "\n".join(parts) + "\n"


def _table(name: str, model: Any) -> str:
    rows = ["| setting | default | what it is |", "| --- | --- | --- |"]
    for field in fields(model):
        factory: Any = field.default_factory
        if is_dataclass(factory):
            continue
        default = factory() if callable(factory) else field.default
        unit = {"bytes": " In bytes.", "seconds": " In seconds."}.get(field.metadata["unit"], "")
        what = field.metadata["help"].replace("|", "\\|")
        rows.append(f"| `{field.name}` | `{_toml(default, field)}` | {what}{unit} |")
    return "\n".join(rows)


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
