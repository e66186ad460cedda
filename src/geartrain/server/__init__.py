"""The broker on asyncio: sockets, signals, and one write per peer per turn of the loop."""

from .options import ServerOptions
from .process import serve
from .server import LOOP_NAME, Server

__all__ = ["LOOP_NAME", "Server", "ServerOptions", "serve"]
