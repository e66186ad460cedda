"""Everything that is promised, checked. The rooms mirror those of the package."""
