"""The same cases, at the level of bytes, against our job server, gearmand (C) and Gearman::Server (Perl).

gearmand's behaviour on the wire is the standard, save where ours is meant to do better. Every known
difference is in one table, `differences.py`, and each entry is checked to be still true.
"""
