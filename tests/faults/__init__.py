"""Peers that dribble, vanish, stall or never read, and a machine that runs out of things, on real sockets.

Each test prints what it held.
"""
