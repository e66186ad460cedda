"""Errors of jobs in Sentry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from geartrain import Client, Job, JobException, JobFailed, Worker
from geartrain.contrib.sentry import report_errors
from tests.server.running import RunningServer
from tests.worker.running import working


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


@pytest.fixture
def sent() -> Iterator[list[dict[str, Any]]]:
    transport = Kept()
    with sentry_sdk.isolation_scope():
        sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", transport=transport, default_integrations=False)
        yield transport.events
        sentry_sdk.init()


def test_what_a_handler_raises_by_accident_is_reported_with_its_job(sent: list[dict[str, Any]]) -> None:
    with RunningServer() as server, Client(f"127.0.0.1:{server.port}", timeout=20) as client:
        worker = Worker(f"127.0.0.1:{server.port}")
        report_errors(worker, workload=True)

        @worker.function("accident")
        def accident(job: Job) -> None:
            raise ZeroDivisionError("of course")

        @worker.function("refuse")
        def refuse(job: Job) -> None:
            raise JobFailed

        @worker.function("answer")
        def answer(job: Job) -> None:
            raise JobException(b"no")

        with working(worker):
            for function in ("refuse", "answer", "accident"):
                future = client.submit(function, b"the workload")
                assert future.exception(20) is not None
        (event,) = sent
        assert event["exception"]["values"][-1]["type"] == "ZeroDivisionError"
        assert event["tags"]["gearman.function"] == event["transaction"] == "accident"
        about = event["contexts"]["gearman job"]
        assert (about["handle"], about["workload"]) == (future.handle, "the workload")
