"""The server on real sockets: listening, limits, commits, stopping."""
