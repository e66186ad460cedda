"""Workers in production: processes that are kept running, and the threads and coroutines in each of them."""

from .supervisor import Supervisor

__all__ = ["Supervisor"]
