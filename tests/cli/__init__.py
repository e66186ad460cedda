"""The geartrain command, as its users run it."""
