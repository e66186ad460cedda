"""A client that calls the Python worker's function, and one that the Perl worker has."""

import os
from dataclasses import dataclass

from geartrain import Client, JobException


@dataclass
class Item:
    name: str
    price: float
    count: int = 1


# Declarations: their bodies never run. A client that can import the worker's module needs none.
def total(items: list[Item], discount: float = 0.0) -> float:
    raise NotImplementedError


def slug(title: str) -> str:
    raise NotImplementedError


with Client(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")) as client:
    price = client.function(total)
    print(price([Item("tea", 2.5, 2), Item("cup", 4)], discount=0.1))
    try:
        price([Item("tea", 2.5, 2)], discount="a lot")  # type: ignore[arg-type]
    except JobException as error:
        print(error)
    print(client.function(slug)("Tea & Cups"))
