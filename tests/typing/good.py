"""A program whose types are right; each `reveal_type` is followed by what checkers have to say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import reveal_type

from geartrain import AsyncClient, Client, Executor, Job, Worker, chain, each, group
from geartrain.codecs import MessagePack

worker = Worker()


@dataclass
class Rectangle:
    width: float
    height: float


@worker.function
def add(a: int, b: int = 10) -> int:
    return a + b


@worker.function("shapes.area", codec=MessagePack(), timeout=10)
def area(shape: Rectangle, *, scale: float = 1.0) -> float:
    return shape.width * shape.height * scale


@worker.function
async def tomorrow(job: Job, day: datetime) -> datetime:
    return day


@worker.function("reverse")
def reverse(job: Job) -> bytes:
    return job.workload[::-1]


# The decorated function is what it was.
reveal_type(add(1))  # int


def blocking(client: Client) -> None:
    remote = client.function(add)
    reveal_type(remote)  # TypedFunction[(a: int, b: int = ...), int]
    reveal_type(remote(2, b=3))  # int
    reveal_type(remote.submit(2).result())  # int
    reveal_type(remote.background(2))  # str
    reveal_type(remote.options(priority="high").submit(2))  # JobFuture[int]
    reveal_type(remote.map([1, 2]))  # Results[int]
    reveal_type(remote.map([1], return_exceptions=True))  # Results[int | GeartrainError]
    reveal_type(client.function(area)(Rectangle(1, 2), scale=2.0))  # float
    reveal_type(client.function(tomorrow)(datetime(2030, 1, 1)))  # datetime
    reveal_type(client.function("reverse")(b"abc"))  # bytes
    reveal_type(client.map(tomorrow, [datetime(2030, 1, 1)]))  # Results[datetime]
    reveal_type(list(client.map(remote, [1])))  # list[int]
    reveal_type(client.submit("reverse", b"abc").result())  # bytes


async def awaited(client: AsyncClient) -> None:
    remote = client.function(add)
    reveal_type(await remote(2, b=3))  # int
    reveal_type(await remote.submit(2))  # int
    reveal_type(await remote.background(2))  # str
    reveal_type(await remote.map([1, 2]))  # list[int]
    reveal_type(await client.function(tomorrow)(datetime(2030, 1, 1)))  # datetime
    async for result in client.map(add, [1, 2]):
        reveal_type(result)  # int
    reveal_type(await client.run("reverse", b"abc"))  # bytes


def pooled(pool: Executor) -> None:
    reveal_type(pool.submit(add, 2, b=3).result())  # int
    reveal_type(list(pool.map(add, [1, 2])))  # list[int]
    reveal_type(pool.function(tomorrow).submit(datetime(2030, 1, 1)).result())  # datetime


def words(text: str) -> list[str]: ...  # type: ignore[empty-body]
def count(words: list[str]) -> int: ...  # type: ignore[empty-body]
def joined(words: list[list[str]]) -> str: ...  # type: ignore[empty-body]


def composed(client: Client) -> None:
    split, length, plus = client.function(words), client.function(count), client.function(add)
    join = client.function(joined)
    reveal_type(client.perform(chain(split.call("a b"), length.call)))  # int
    reveal_type(client.perform(chain(split.call("a b"), length.call, plus.call)))  # int
    reveal_type(client.perform(group(split.call("a"), split.call("b"))))  # list[list[str]]
    reveal_type(client.perform(group(split.call("a"), split.call("b"), reduce=join.call)))  # str
    reveal_type(client.perform(chain(split.call("a b"), each(split.call))))  # list[list[str]]


async def composed_and_awaited(client: AsyncClient) -> None:
    split, length = client.function(words), client.function(count)
    reveal_type(await client.perform(chain(split.call("a b"), length.call)))  # int
    reveal_type(await client.perform(chain(split.call("a b"), each(split.call))))  # list[list[str]]
