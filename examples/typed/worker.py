"""A worker with a typed function: its arguments come as JSON from any language, and are checked."""

import os
from dataclasses import dataclass

from geartrain import Worker


@dataclass
class Item:
    name: str
    price: float
    count: int = 1


worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


@worker.function
def total(items: list[Item], discount: float = 0.0) -> float:
    return round(sum(item.price * item.count for item in items) * (1 - discount), 2)


if __name__ == "__main__":
    worker.run()
