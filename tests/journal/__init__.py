"""Where jobs survive: the SQLite journal, and everything that a disk can do to it."""
