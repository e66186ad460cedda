"""How a job ends: what its handler returns or raises, and what the client is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import pytest

from geartrain import Job, JobException, JobFailed
from geartrain.worker import outcome
from geartrain.worker.functions import Function, Handler
from geartrain.worker.hooks import Hooks
from geartrain.worker.outcome import Outcome, exception_text, outcome_of
from tests.harness.rawwire import Packet


def run(handler: Handler) -> Outcome:
    def finish(awaitable: Awaitable[object]) -> object:
        async def wait() -> object:
            return await awaitable

        return asyncio.run(wait())

    return outcome_of(Function("f", handler), Job("f", b"workload", b"H:1"), Hooks(), finish)


@pytest.mark.parametrize(
    ("result", "sent"),
    [
        (b"bytes", b"bytes"),
        ("Zürich", "Zürich".encode()),
        (None, b""),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
    ],
)
def test_bytes_text_and_nothing_are_results(result: bytes | str | None, sent: bytes) -> None:
    async def coroutine(job: Job) -> bytes | str | None:
        await asyncio.sleep(0)
        return result

    assert run(lambda job: result) == (Packet.WORK_COMPLETE, sent)
    assert run(coroutine) == (Packet.WORK_COMPLETE, sent)


@pytest.mark.parametrize("result", [5, 1.5, ["a"], {"a": 1}, object(), iter(())])
def test_any_other_result_is_an_exception_that_names_its_type(result: object) -> None:
    type, text = run(lambda job: result)  # type: ignore[arg-type]
    name = result.__class__.__name__
    assert type == Packet.WORK_EXCEPTION
    assert text == f"the function 'f' returned {name}: a result is bytes, str or None".encode()


def test_text_that_has_no_utf_8_is_an_exception() -> None:
    type, text = run(lambda job: "\ud800")
    assert type == Packet.WORK_EXCEPTION
    assert text is not None
    assert b"surrogates not allowed" in text


def test_a_result_that_no_server_would_take_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "LARGEST_BODY", 1000)
    assert run(lambda job: bytes(1000)) == (Packet.WORK_COMPLETE, bytes(1000))
    for result in (bytes(1001), "x" * 1001):
        assert run(lambda job, result=result: result) == (
            Packet.WORK_EXCEPTION,
            b"the function 'f' returned 1001 bytes: the largest result is 1000 bytes",
        )


def raising(error: BaseException) -> Handler:
    def handler(job: Job) -> None:
        raise error

    return handler


def test_job_failed_is_a_failure_without_a_reason() -> None:
    assert run(raising(JobFailed("for the log"))) == (Packet.WORK_FAIL, None)


def test_job_exception_sends_exactly_its_data() -> None:
    async def coroutine(job: Job) -> None:
        raise error

    cases: list[tuple[bytes | str, bytes]] = [
        (b"\0\xff", b"\0\xff"),
        ("too small", b"too small"),
        ("zu groß", "zu groß".encode()),
        ("", b""),
    ]
    for given, sent in cases:
        error = JobException(given)
        assert run(raising(error)) == (Packet.WORK_EXCEPTION, sent)
        assert run(coroutine) == (Packet.WORK_EXCEPTION, sent)


def test_an_error_whose_attributes_can_not_be_set_is_an_exception_like_any_other() -> None:
    @dataclass(frozen=True)
    class FrozenError(Exception):
        place: str

    assert run(raising(FrozenError("here"))) == (Packet.WORK_EXCEPTION, b"here")


@pytest.mark.parametrize(
    "error", [ValueError("no such account"), SystemExit("bye"), asyncio.CancelledError("x")]
)
def test_any_other_exception_sends_its_message(error: BaseException) -> None:
    async def coroutine(job: Job) -> None:
        raise error

    assert run(raising(error)) == (Packet.WORK_EXCEPTION, str(error).encode())
    if not isinstance(error, SystemExit):
        assert run(coroutine) == (Packet.WORK_EXCEPTION, str(error).encode())


def test_what_is_meant_for_the_process_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(raising(KeyboardInterrupt()))


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ZeroDivisionError("division by zero"), b"division by zero"),
        (ValueError(), b"ValueError"),
        (KeyError("account"), b"KeyError: 'account'"),
        (UnprintableError(), b"UnprintableError"),
        (ValueError("\ud800"), rb"\ud800"),
    ],
)
def test_the_type_is_told_where_the_message_says_too_little(error: Exception, text: bytes) -> None:
    assert exception_text(error) == text


def test_a_traceback_in_the_log_begins_in_the_handler() -> None:
    error = ValueError("no")
    run(raising(error))
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_frame.f_code.co_name == "handler"
