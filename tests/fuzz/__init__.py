"""Hostile bytes, from a seed: at the parser and broker alone, and at a server on real sockets."""
