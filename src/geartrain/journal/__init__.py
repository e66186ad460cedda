"""Where acknowledged jobs survive: in memory (not at all) or in a SQLite file."""

from .journal import Journal
from .memory import MemoryJournal
from .sqlite import SqliteJournal
from .urls import default_journal_url, open_journal

__all__ = ["Journal", "MemoryJournal", "SqliteJournal", "default_journal_url", "open_journal"]
