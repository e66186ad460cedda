"""Stopgap until the command line is there: `python -m geartrain serve ...`."""

import argparse

from .server import ServerOptions, serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--listen", action="append")
    parser.add_argument("--port", type=int, default=4730)
    parser.add_argument("--journal", default="memory")
    options = parser.parse_args()
    serve(
        ServerOptions(
            listen=tuple(options.listen or ["127.0.0.1"]), port=options.port, journal=options.journal
        )
    )
