"""Geartrain: a complete Gearman system in Python."""
