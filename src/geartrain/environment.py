"""Job servers for programs that name none."""

from __future__ import annotations

import os
from typing import Final

from .wire.packets import DEFAULT_PORT

SERVERS: Final = "GEARMAN_SERVERS"
"""Environment variable with addresses, separated by commas; libgearman reads it, too."""
DEFAULT_SERVER: Final = f"127.0.0.1:{DEFAULT_PORT}"


def default_servers() -> list[str]:
    """Return the addresses in `GEARMAN_SERVERS`, by default that of a server on this machine."""
    found = [text.strip() for text in os.environ.get(SERVERS, "").split(",") if text.strip()]
    return found or [DEFAULT_SERVER]
