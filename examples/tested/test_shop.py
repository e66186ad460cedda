"""Three kinds of test: of the functions alone, of what was submitted, and with a real job server."""

import pytest
import shop

from geartrain import Client, JobException
from geartrain.testing import EagerClient, LocalServer


def test_a_function_is_just_a_function() -> None:
    assert shop.price([1, 2]) == 3


def test_an_order_is_priced_and_a_mail_is_sent_later() -> None:
    # The eager client runs the worker's functions itself.
    client = EagerClient(shop.worker)
    assert shop.order(client, "ada@example.org", [10, 20, 30]) == 54
    assert client.calls(shop.send_mail) == [{"to": "ada@example.org", "subject": "You owe us 54.00"}]


def test_the_mail_names_whatever_price_came_back(gearman_recorder: EagerClient) -> None:
    # The recorder runs nothing; it says what it is told to say.
    gearman_recorder.answer(shop.price, 7)
    shop.order(gearman_recorder, "bob@example.org", [1])
    assert gearman_recorder.calls(shop.send_mail)[0]["subject"] == "You owe us 7.00"


def test_a_bad_discount_is_refused_by_the_worker(gearman_server: LocalServer) -> None:
    gearman_server.work(shop.worker)
    with Client(gearman_server.address) as client, pytest.raises(JobException, match="a part of 1"):
        client.function(shop.price)([1], discount=2)
