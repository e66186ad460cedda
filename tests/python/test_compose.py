"""Chains and groups, of real jobs, and what becomes of failures."""

from __future__ import annotations

import asyncio

import pytest

from geartrain import (
    AsyncClient,
    Client,
    Composition,
    GroupError,
    JobException,
    NoServersError,
    WaitTimeoutError,
    chain,
    each,
    group,
)
from tests.harness.processes import free_port

from . import tasks


def test_a_chain_hands_each_result_to_the_next(client: Client) -> None:
    square, add = client.function(tasks.square), client.function(tasks.add)
    assert client.perform(square.call(3)) == 9
    assert client.perform(chain(square.call(3), square.call, add.call)) == 91
    assert client.perform(chain(chain(square.call(3), square.call), add.call)) == 91
    assert client.perform(chain(square.call(2), lambda n: group(*[square.call(n)] * n))) == [16] * 4


def test_a_group_gives_its_results_in_order_and_reduces_them(client: Client) -> None:
    pause, total = client.function(tasks.pause), client.function(tasks.total)
    square = client.function(tasks.square)
    assert client.perform(group(pause.call(0.2), pause.call(0.0))) == [0.2, 0.0]
    assert client.perform(group(*map(square.call, range(10)), reduce=total.call)) == 285
    assert client.perform(group()) == []


def test_fan_out_and_fan_in(client: Client) -> None:
    numbers, total = client.function(tasks.numbers), client.function(tasks.total)
    square = client.function(tasks.square)
    assert client.perform(chain(numbers.call(9), each(square.call), total.call)) == 204
    assert client.perform(chain(numbers.call(0), each(square.call), total.call)) == 0


def test_a_chain_ends_with_the_first_failure(client: Client) -> None:
    square, add = client.function(tasks.square), client.function(tasks.add)
    with pytest.raises(JobException, match="-4 is negative") as error:
        client.perform(chain(square.call(2), lambda n: square.call(-n), add.call))
    assert error.value.__notes__ == ["in step 2 of a chain of 3"]
    assert tasks.ran == [2]


def test_an_error_of_a_step_of_one_s_own_ends_it_too(client: Client) -> None:
    square = client.function(tasks.square)
    with pytest.raises(ZeroDivisionError):
        client.perform(chain(square.call(2), lambda n: square.call(n // 0), square.call))
    with pytest.raises(TypeError, match="square: "):
        client.perform(chain(square.call(2), lambda n: square.call(object())))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a step gives a call, a chain or a group, not 4"):
        client.perform(chain(square.call(2), lambda n: n))  # type: ignore[arg-type,return-value]


def test_the_parts_of_a_group_all_end_before_its_failure_is_told(client: Client) -> None:
    square, total = client.function(tasks.square), client.function(tasks.total)
    with pytest.raises(GroupError, match=r"2 of 4 parts failed; part 2: -1 is negative") as error:
        client.perform(group(*map(square.call, [1, -1, 2, -2]), reduce=total.call))
    assert set(error.value.failures) == {1, 3}
    assert error.value.results == [1, None, 4, None]
    assert isinstance(error.value.__cause__, JobException)
    assert tasks.ran == [1, 2]


def test_failed_parts_may_be_left_out(client: Client) -> None:
    square, total = client.function(tasks.square), client.function(tasks.total)
    parts = [square.call(n) for n in (1, -1, 2, -2)]
    assert client.perform(group(*parts, skip_failures=True)) == [1, 4]
    assert client.perform(group(*parts, reduce=total.call, skip_failures=True)) == 5
    numbers, opposite = client.function(tasks.numbers), client.function(tasks.opposite)

    def squared(n: int) -> Composition[int]:
        return chain(opposite.call(n - 1), square.call)

    assert client.perform(chain(numbers.call(4), each(squared, skip_failures=True))) == [1, 0]


def test_what_cannot_be_submitted_is_its_own_part_s_failure(client: Client) -> None:
    upper, half = client.function("upper"), "\ud800"
    parts = [upper.call("a"), upper.call(half), upper.call("b")]
    assert client.perform(group(*parts, skip_failures=True)) == [b"A", b"B"]
    with pytest.raises(GroupError) as failed:
        client.perform(group(*parts))
    assert failed.value.results == [b"A", None, b"B"]
    assert isinstance(failed.value.failures[1], ValueError)
    with pytest.raises(ValueError, match="surrogates") as error:
        client.perform(chain(upper.call("a"), lambda _: upper.call(half)))
    assert error.value.__notes__ == ["in step 2 of a chain of 2"]
    odd = upper.options(unique=half)
    assert client.perform(group(upper.call("a"), odd.call("b"), skip_failures=True)) == [b"A"]


def test_what_cannot_be_decoded_is_its_own_part_s_failure(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(data: bytes) -> int:
        raise KeyError("not like this")

    square, odd = client.function(tasks.square), client.function(tasks.square)
    monkeypatch.setattr(odd, "decode", refuse)
    assert client.perform(group(square.call(2), odd.call(3), skip_failures=True)) == [4]
    with pytest.raises(KeyError) as error:
        client.perform(chain(square.call(2), odd.call))
    assert error.value.__notes__ == ["in step 2 of a chain of 2"]


def test_a_composition_has_one_time_out(client: Client) -> None:
    wait, square = client.function(tasks.wait), client.function(tasks.square)
    with pytest.raises(WaitTimeoutError):
        client.perform(chain(wait.call(1), square.call), timeout=0.1)
    tasks.gate.set()
    assert client.function(tasks.add)(1) == 11
    assert tasks.ran == [(1, 10)]


def test_without_a_server_it_says_so() -> None:
    with Client(f"127.0.0.1:{free_port()}") as client, pytest.raises(NoServersError):
        client.perform(group(client.function(tasks.add).call(1)))


async def awaited(server: str) -> None:
    async with AsyncClient(server, timeout=20) as client:
        square, total = client.function(tasks.square), client.function(tasks.total)
        numbers = client.function(tasks.numbers)
        assert await client.perform(chain(numbers.call(9), each(square.call), total.call)) == 204
        with pytest.raises(GroupError):
            await client.perform(group(square.call(-1)))
        half = client.function("upper").call("\ud800")
        assert await client.perform(group(square.call(2), half, skip_failures=True)) == [4]
        one = client.perform(chain(square.call(1), square.call))
        two = client.perform(group(square.call(2)))
        both = tuple(await asyncio.gather(one, two))
        assert both == (1, [4])


def test_the_async_client_performs_them_too(server: str) -> None:
    asyncio.run(awaited(server))
