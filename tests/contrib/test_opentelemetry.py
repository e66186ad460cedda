"""Traces through a job server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from geartrain import AsyncClient, Client, Job, JobException, Worker
from geartrain.contrib.opentelemetry import trace_client, trace_worker
from tests.server.running import RunningServer
from tests.worker.running import working

TIMEOUT = 20.0


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer() as server:
        yield server


def address(server: RunningServer) -> str:
    return f"127.0.0.1:{server.port}"


def add(a: int, b: int) -> int:
    assert trace.get_current_span().get_span_context().is_valid
    return a + b


async def add_async(a: int, b: int) -> int:
    await asyncio.sleep(0)
    assert trace.get_current_span().get_span_context().is_valid
    return a + b


def fail(text: str) -> None:
    raise LookupError(text)


def raw(job: Job) -> bytes:
    return job.workload


def traced(server: RunningServer, provider: TracerProvider) -> Worker:
    worker = Worker(address(server))
    for function in (add, add_async, fail, raw):
        worker.register(function.__name__, function)
    trace_worker(worker, provider)
    return worker


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def check_trace(spans: dict[str, ReadableSpan], function: str, above: ReadableSpan | None = None) -> None:
    sent, processed = spans[f"send {function}"], spans[f"process {function}"]
    assert (sent.kind, processed.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert processed.parent is not None
    assert sent.context is not None
    assert processed.parent.span_id == sent.context.span_id
    assert processed.context is not None
    assert processed.context.trace_id == sent.context.trace_id
    if above is not None:
        assert sent.parent is not None
        assert above.context is not None
        assert sent.parent.span_id == above.context.span_id
    assert processed.attributes is not None
    assert processed.attributes["messaging.destination.name"] == function
    assert str(processed.attributes["messaging.message.id"]).startswith("H:")


@pytest.mark.parametrize("function", [add, add_async])
def test_a_job_s_span_is_below_that_of_its_submission(
    server: RunningServer, provider: TracerProvider, exporter: InMemorySpanExporter, function: object
) -> None:
    worker = traced(server, provider)
    with working(worker), Client(address(server), timeout=TIMEOUT) as client:
        trace_client(client, provider)
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("request"):
            assert client.function(function)(2, 3) == 5  # type: ignore[call-overload]
    name = function.__name__  # type: ignore[attr-defined]
    spans = by_name(exporter)
    check_trace(spans, name, spans["request"])


def test_an_asyncio_client_and_a_worker_with_many_jobs_at_a_time(
    server: RunningServer, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async def main() -> None:
        worker = traced(server, provider)
        task = asyncio.create_task(worker.run_async())
        async with AsyncClient(address(server), timeout=TIMEOUT) as client:
            trace_client(client, provider)
            results = await asyncio.gather(
                *(client.function(add_async)(n, n) for n in range(20)),
                *(client.function(add)(n, n) for n in range(20)),
            )
            assert results == [2 * n for n in range(20)] * 2
        worker.stop()
        await asyncio.wait_for(task, TIMEOUT)

    asyncio.run(main())
    spans = exporter.get_finished_spans()
    sent = {span.context.span_id for span in spans if span.name.startswith("send") and span.context}
    processed = [span.parent.span_id for span in spans if span.name.startswith("process") and span.parent]
    assert len(processed) == 40
    assert set(processed) == sent


def test_what_a_job_ends_with_is_recorded(
    server: RunningServer, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    with working(traced(server, provider)), Client(address(server), timeout=TIMEOUT) as client:
        trace_client(client, provider)
        with pytest.raises(JobException, match="nothing there"):
            client.function(fail)("nothing there")
    span = by_name(exporter)["process fail"]
    assert span.status.status_code is StatusCode.ERROR
    (event,) = span.events
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "LookupError"
    check_trace(by_name(exporter), "fail")


def test_jobs_without_a_context_begin_traces_of_their_own(
    server: RunningServer, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    with working(traced(server, provider)), Client(address(server), timeout=TIMEOUT) as client:
        assert client.run("raw", b"geartrain.context") == b"geartrain.context"
        assert client.run("add", b"[2, 3]") == b"5"
    assert [span.parent for span in exporter.get_finished_spans()] == [None, None]
    assert not trace.get_current_span().get_span_context().is_valid
