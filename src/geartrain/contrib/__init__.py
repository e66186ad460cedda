"""Integrations. Each module needs the library of its name, and no other module imports it."""
