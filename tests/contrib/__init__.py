"""The integrations, each with the library that it is for."""
