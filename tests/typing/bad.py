"""A program whose types are wrong: each line that ends in `# wrong` has an error, and no other has."""

from __future__ import annotations

from geartrain import AsyncClient, Client, Job, Worker, chain

worker = Worker()


@worker.function
def add(a: int, b: int = 10) -> int:
    return a + b


@worker.function
def watched(job: Job, path: str) -> int:
    return len(path)


def blocking(client: Client) -> None:
    remote = client.function(add)
    remote("two")  # wrong
    remote()  # wrong
    remote(1, c=2)  # wrong
    remote.submit(1, 2, 3)  # wrong
    remote.background(b="x")  # wrong
    text: str = remote(1)  # wrong
    remote.options(urgency=1)  # wrong
    client.function(watched)(3)  # wrong
    word: str = client.function(watched).submit("x").result()  # wrong
    print(text, word)


async def awaited(client: AsyncClient) -> None:
    remote = client.function(add)
    number: int = remote(1)  # wrong
    await remote.submit("two")  # wrong
    word: str = await remote.submit(1)  # wrong
    print(number, word)


def composed(client: Client) -> None:
    remote, other = client.function(add), client.function(watched)
    remote.call("two")  # wrong
    client.perform(chain(remote.call(2), other.call))  # wrong
