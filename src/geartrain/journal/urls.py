"""What people call a journal, and where it is if they call it nothing."""

from __future__ import annotations

import os

from .journal import Journal
from .memory import MemoryJournal
from .sqlite import SqliteJournal

SYSTEM_FOLDER = "/var/lib/geartrain"


def open_journal(url: str) -> Journal:
    """The journal that a URL names: `memory` or `sqlite:PATH`. It is not opened yet.

    Raises:
        ValueError: the URL names no kind of journal that there is.
    """
    if url == "memory":
        return MemoryJournal()
    kind, _, path = url.partition(":")
    if kind == "sqlite" and path:
        return SqliteJournal(os.path.expanduser(path))
    hint = f": did you mean 'sqlite:{url}'?" if os.sep in url or url.endswith(".db") else ""
    raise ValueError(f"{url!r} names no journal; there are 'memory' and 'sqlite:PATH'{hint}")


def default_journal_url() -> str:
    """The journal of a server that was told of none.

    It is `journal.db` in the first of these folders:

    - `$STATE_DIRECTORY`, which systemd sets for a unit with `StateDirectory=`;
    - `/var/lib/geartrain`, for root and for a user who may write there;
    - `$XDG_STATE_HOME/geartrain`, or `~/.local/state/geartrain`.
    """
    return "sqlite:" + os.path.join(_state_folder(), "journal.db")


def _state_folder() -> str:
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if os.path.isabs(given):
        return given
    if os.geteuid() == 0 or os.access(SYSTEM_FOLDER, os.W_OK | os.X_OK):
        return SYSTEM_FOLDER
    home = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):  # as its specification wants it
        home = os.path.expanduser("~/.local/state")
    return os.path.join(home, "geartrain")
