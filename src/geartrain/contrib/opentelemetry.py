"""Traces that go through a job server: `pip install 'geartrain[opentelemetry]'`.

    trace_client(client)        # in the program that submits
    trace_worker(worker)        # in the worker's module

A call of a typed function is a span of the kind PRODUCER. Its context travels around the arguments in the
workload (see `geartrain.signature`), so a trace reaches from one language's client to a Python worker and on.
A job is a span of the kind CONSUMER below it. A raw function's workload has no place for a context, so its
jobs begin new traces. Attribute names are OpenTelemetry's for messaging.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import Token
from typing import Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from ..client import AsyncClient, Client
from ..signature import declared
from ..version import __version__
from ..worker import Job, Worker

_SCOPE: Final = "geartrain"


def trace_client(client: Client | AsyncClient, provider: TracerProvider | None = None) -> None:
    """Make a span for each call of a typed function, and send its context along.

    The workload then has an envelope. Geartrain's workers open it; a worker in another language has to open
    it itself.

    Args:
        client: the client to trace.
        provider: source of the tracer, by default the global one.
    """
    tracer = trace.get_tracer(_SCOPE, __version__, provider)

    def submit(function: str) -> Mapping[str, str]:
        carrier: dict[str, str] = {}
        attributes = _attributes(function, "send")
        with tracer.start_as_current_span(f"send {function}", kind=SpanKind.PRODUCER, attributes=attributes):
            propagate.inject(carrier)
        return carrier

    client.context = submit


def trace_worker(worker: Worker, provider: TracerProvider | None = None) -> None:
    """Make a span for each job, below the span of its submission if the workload carries one.

    The span is the current one while the handler runs, and records a failure of the job.

    Args:
        worker: the worker to trace.
        provider: source of the tracer, by default the global one.
    """
    _WorkerSpans(worker, provider)


class _WorkerSpans:
    def __init__(self, worker: Worker, provider: TracerProvider | None) -> None:
        self._worker = worker
        self._provider = provider
        self._tracer = trace.get_tracer(_SCOPE, __version__, provider)
        self._open: dict[Job, tuple[Span, Token[Context], threading.Thread]] = {}
        worker.before_job(self._begin)
        worker.on_error(self._error)
        worker.after_job(self._end)

    def _begin(self, job: Job) -> None:
        parent = propagate.extract(self._context_of(job))
        span = self._tracer.start_span(
            f"process {job.function}",
            parent,
            SpanKind.CONSUMER,
            {**_attributes(job.function, "process"), "messaging.message.id": job.handle},
        )
        token = context.attach(trace.set_span_in_context(span, parent))
        self._open[job] = span, token, threading.current_thread()

    def _context_of(self, job: Job) -> dict[str, str]:
        function = self._worker.handler(job.function)
        signature = declared(function) if function is not None else None
        return signature.context(job.workload) if signature is not None else {}

    def _error(self, job: Job, error: BaseException) -> None:
        if job not in self._open:
            return  # an earlier hook refused the job
        span, _, thread = self._open[job]
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, str(error)))
        if threading.current_thread() is not thread:
            # The handler exceeded its time limit; the process is about to exit.
            span.end()
            flush: Any = getattr(self._provider or trace.get_tracer_provider(), "force_flush", None)
            if flush is not None:
                flush()

    def _end(self, job: Job) -> None:
        if job in self._open:
            span, token, _ = self._open.pop(job)
            context.detach(token)
            span.end()


def _attributes(function: str, operation: str) -> dict[str, str]:
    return {
        "messaging.system": "gearman",
        "messaging.destination.name": function,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
