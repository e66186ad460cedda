"""The job server's decisions: what happens to jobs, workers and clients, without any I/O."""

from .broker import Broker
from .state import Peer

__all__ = ["Broker", "Peer"]
