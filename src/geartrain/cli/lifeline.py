"""The option that ties a command to the process that started it."""

from __future__ import annotations

from typing import Annotated

import typer

from ..parent_watch import exit_with_parent

__all__ = ["LifelineOption", "exit_with_parent"]

LifelineOption = Annotated[
    bool, typer.Option("--until-eof", hidden=True, help="Stop when standard input ends, as after SIGTERM.")
]
