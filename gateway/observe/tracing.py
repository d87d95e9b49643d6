"""Traces in OpenTelemetry: one for each turn, with a span for each stage, sent by OTLP over HTTP.

Needs the extra `otel`. Spans are made when a turn is over, from its record: a turn costs about a
tenth of a millisecond then, and nothing while it goes on. A thread sends them; where the collector
does not keep up, spans are dropped. No span holds words of the conversation.
"""

import asyncio
import logging
import threading
import time

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from gateway.observe.sessions import ObservedSession
from gateway.observe.trace_context import SpanId
from gateway.observe.turn_record import TurnRecord, first_ms

logger = logging.getLogger("parley.traces")

MOST_WAITING = 2048
"""The most spans that wait to be sent; further ones are dropped."""

SEND_S = 3.0
"""The limit of one request to the collector."""

CLOSE_S = 2.0
"""How long the end of the process waits for the last spans."""


class _GivenIds(IdGenerator):
    """Gives the span that is made next the ids that were set for it."""

    def __init__(self) -> None:
        self.next = SpanId("", "")

    def generate_span_id(self) -> int:
        return int(self.next.span_id, 16)

    def generate_trace_id(self) -> int:
        return int(self.next.trace_id, 16)


class Tracing:
    """Sends the traces of a process's turns to the collector at `endpoint`, or to `exporter`."""

    def __init__(
        self, endpoint: str, version: str, *, exporter: SpanExporter | None = None
    ) -> None:
        self._ids = _GivenIds()
        resource = Resource.create({"service.name": "parley", "service.version": version})
        self._provider = TracerProvider(
            id_generator=self._ids, resource=resource, shutdown_on_exit=False
        )
        if exporter is None:
            exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=SEND_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=MOST_WAITING))
        self._tracer = self._provider.get_tracer("parley", version)

    def turn_over(self, session: ObservedSession, record: TurnRecord) -> None:
        """Make the spans of a turn that is over now (`gateway.observe.sessions.OnTurn`)."""
        traces = session.traces
        if traces is None:
            return
        now, epoch = asyncio.get_running_loop().time(), time.time()
        began = epoch - (now - record.ended_at)  # in seconds since the epoch
        self._ids.next = traces.turn(record.turn)
        span = self._tracer.start_span(
            "turn",
            Context() if traces.parent is None else _within(traces.parent),
            start_time=_ns(began),
            attributes={
                "parley.session": session.session_id,
                "parley.transport": session.transport,
                "parley.turn": record.turn,
                "parley.outcome": record.outcome,
                "parley.spoken": record.spoken,
                "parley.budget_ms": record.budget_ms,
                "parley.over_budget": record.over_budget,
            },
        )
        if record.voice_to_voice_ms is not None:
            span.set_attribute("parley.voice_to_voice_ms", record.voice_to_voice_ms)
        if record.overspent is not None:
            span.set_attribute("parley.overspent", record.overspent)
        for step in record.degraded:
            told = {"stage": step.stage, "from": step.source, "to": step.target}
            span.add_event("degraded", {**told, "reason": step.reason}, _ns(epoch))
        if record.outcome in ("canned", "none"):
            span.set_status(Status(StatusCode.ERROR, record.outcome))
        within = set_span_in_context(span, Context())
        for stage in record.stages:
            self._ids.next = traces.stage(record.turn, stage.stage)
            part = self._tracer.start_span(
                stage.stage,
                within,
                start_time=_ns(began + stage.start / 1000),
                attributes={"parley.provider": stage.provider},
            )
            if stage.first is not None:
                part.add_event(
                    "first item",
                    {"after_ms": first_ms(stage) or 0.0},
                    _ns(began + stage.first / 1000),
                )
            last = max(stage.start, stage.first or stage.start, stage.end or stage.start)
            part.end(_ns(began + last / 1000))
        span.end(_ns(epoch))

    async def aclose(self) -> None:
        """Send the spans that wait, for at most `CLOSE_S`. Does not block the event loop."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def shut() -> None:
            self._provider.shutdown()
            try:
                loop.call_soon_threadsafe(sent.set)
            except RuntimeError:  # the loop did not wait so long, and is closed
                logger.debug("the last traces took longer than the process")

        # A daemon: a collector that hangs must not keep the process.
        threading.Thread(target=shut, name="parley-traces", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_S):
                await sent.wait()
        except TimeoutError:
            logger.warning("the last traces could not be sent within %g s", CLOSE_S)


def _within(parent: SpanId) -> Context:
    """The context for a span whose parent is the client's span."""
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    context = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, flags)
    return set_span_in_context(NonRecordingSpan(context), Context())


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
