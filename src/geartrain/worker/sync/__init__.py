"""The blocking shell: one job at a time, over blocking sockets. Compiled."""
