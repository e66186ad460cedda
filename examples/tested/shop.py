"""A program that has mails sent in the background and prices worked out; its tests are beside it."""

import os

from geartrain import Client, Worker

SERVERS = os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")

worker = Worker(SERVERS)


@worker.function
def send_mail(to: str, subject: str) -> None:
    print(f"to {to}: {subject}")


@worker.function
def price(items: list[float], discount: float = 0.0) -> float:
    if not 0 <= discount < 1:
        raise ValueError("the discount is a part of 1")
    return round(sum(items) * (1 - discount), 2)


def order(client: Client, customer: str, items: list[float]) -> float:
    """What the web site calls: works out the price, and has a mail sent later."""
    total = client.function(price)(items, discount=0.1 if len(items) > 2 else 0.0)
    client.function(send_mail).background(customer, f"You owe us {total:.2f}")
    return total


if __name__ == "__main__":
    worker.run()
