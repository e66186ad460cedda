"""Where acknowledged jobs survive: in memory (not at all) or in a SQLite file."""

from .journal import Journal
from .memory import MemoryJournal

__all__ = ["Journal", "MemoryJournal"]
