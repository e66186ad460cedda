"""Bytes to packets and back: Gearman's binary and text protocol, both directions, without I/O."""
