"""Traces of turns, as a collector gets them."""

import threading
from collections.abc import AsyncIterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from gateway.observe import tracing
from gateway.observe.sessions import ObservedSessions
from gateway.observe.trace_context import SpanId, parse_traceparent
from gateway.observe.tracing import Tracing
from pipeline.frames import Degraded, StageSpan, TextDelta, TurnMetrics
from pipeline.stage import ReplyRequest
from pipeline.turn_context import request_headers
from tests.support.calls import LocalCalls

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class _Asked:
    """A responder that notes the headers that its server would get."""

    provider = "asked"

    def __init__(self) -> None:
        self.headers: list[str] = []

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
        self.headers.append(request_headers.get()("llm").get("traceparent", ""))
        yield TextDelta(request.turn, "Tell me more.")

    async def aclose(self) -> None: ...


def held(
    local: LocalCalls, *, traced: bool = True, sent: Sequence[str] = ()
) -> tuple[list[ReadableSpan], list[str]]:
    """The spans of a conversation of two turns, and what the responder's server was told."""
    exporter, asked = InMemorySpanExporter(), _Asked()
    made = Tracing("", "1.0", exporter=exporter)
    local.observed = ObservedSessions(made.turn_over)
    local.observed.traced = traced
    local.responder = asked

    async def story() -> None:
        async with local.call("s-1") as client:
            hello = {"traceparent": sent[0]} if sent else {}
            await client.say(type="hello", version=1, **hello)
            await client.until("reply.done", turn=0)
            await client.say(type="text", text="I built a queue.")
            await client.until("turn.metrics", turn=1)
        made._provider.force_flush()

    local.run(story)
    return list(exporter.get_finished_spans()), asked.headers


def ids(span: ReadableSpan) -> SpanId:
    return SpanId(format_trace_id(span.context.trace_id), format_span_id(span.context.span_id))


def test_every_turn_is_a_trace_with_a_span_for_each_stage(local: LocalCalls) -> None:
    spans, _ = held(local)
    turns = [span for span in spans if span.name == "turn"]
    assert len({ids(turn).trace_id for turn in turns}) == 2
    assert [turn.parent for turn in turns] == [None, None]
    assert turns[1].attributes is not None
    assert turns[1].attributes["parley.session"] == "s-1"
    assert turns[1].attributes["parley.outcome"] == "answered"
    parts = [span for span in spans if span.parent is not None]
    for turn in turns:
        inside = [part for part in parts if ids(part).trace_id == ids(turn).trace_id]
        assert {part.name for part in inside} >= {"endpointing", "llm", "tts"}
        for part in inside:
            assert part.parent is not None
            assert format_span_id(part.parent.span_id) == ids(turn).span_id
            assert turn.start_time <= part.start_time <= part.end_time <= turn.end_time
    words = "".join(span.to_json() for span in spans)
    assert "queue" not in words
    assert "Tell me more" not in words


def test_a_provider_is_told_the_span_of_its_stage(local: LocalCalls) -> None:
    spans, told = held(local)
    assert {ids(span).traceparent for span in spans if span.name == "llm"} == set(told)


def test_the_turns_of_a_client_with_a_trace_are_in_it(local: LocalCalls) -> None:
    spans, told = held(local, sent=[PARENT])
    parent = parse_traceparent(PARENT)
    assert parent is not None
    assert {ids(span).trace_id for span in spans} == {parent.trace_id}
    for turn in (span for span in spans if span.name == "turn"):
        assert turn.parent is not None
        assert format_span_id(turn.parent.span_id) == parent.span_id
    assert all(header.startswith(f"00-{parent.trace_id}-") for header in told)


def test_a_client_that_does_not_sample_gets_no_spans(local: LocalCalls) -> None:
    spans, told = held(local, sent=[f"{PARENT[:-2]}00"])
    assert spans == []
    assert [header[-2:] for header in told] == ["00"] * len(told)


def test_without_tracing_nothing_is_made_and_providers_are_told_nothing(local: LocalCalls) -> None:
    assert held(local, traced=False, sent=[PARENT]) == ([], [""] * 2)


def test_steps_down_and_first_items_are_events_and_a_failed_turn_is_an_error(
    local: LocalCalls,
) -> None:
    exporter = InMemorySpanExporter()
    made = Tracing("", "1.0", exporter=exporter)
    sessions = ObservedSessions(made.turn_over)
    sessions.traced = True

    async def story() -> None:
        with sessions.open("s-1", transport="webrtc", kind="interview") as session:
            session.observe(Degraded(1, "llm", "openai", "canned line", "stalled"), 0.0)
            spans = (StageSpan("llm", "openai", 100.0, 350.0, None),)
            session.observe(TurnMetrics(1, 1000, spans, None), 0.0)
        await made.aclose()

    local.run_in_real_time(story)
    llm, turn = exporter.get_finished_spans()
    assert turn.status.status_code is StatusCode.ERROR
    assert [(event.name, dict(event.attributes or {})) for event in turn.events] == [
        (
            "degraded",
            {"stage": "llm", "from": "openai", "to": "canned line", "reason": "stalled"},
        )
    ]
    (first,) = llm.events
    assert (first.name, dict(first.attributes or {})) == ("first item", {"after_ms": 250.0})
    assert llm.end_time == first.timestamp


def test_spans_go_to_the_collector_over_http(local: LocalCalls) -> None:
    got: list[tuple[str, str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, self.headers["content-type"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        made = Tracing(f"http://127.0.0.1:{server.server_port}", "1.0")
        sessions = ObservedSessions(made.turn_over)
        sessions.traced = True

        async def story() -> None:
            with sessions.open("s-1", transport="webrtc", kind="interview") as session:
                session.observe(TurnMetrics(1, 1000, (), None), 0.0)
            await made.aclose()

        local.run_in_real_time(story)
        server.shutdown()
        serving.join(5)
    ((path, kind, body),) = got
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    assert b"parley.session" in body


def test_a_collector_that_hangs_does_not_keep_the_process(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "CLOSE_S", 0.05)
    released = threading.Event()

    class Hanging(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            released.wait(10)
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None: ...

    made = Tracing("", "1.0", exporter=Hanging())
    sessions = ObservedSessions(made.turn_over)
    sessions.traced = True

    async def story() -> None:
        with sessions.open("s-1", transport="webrtc", kind="interview") as session:
            session.observe(TurnMetrics(1, 1000, (), None), 0.0)
        await made.aclose()

    local.run_in_real_time(story)
    released.set()
    assert "could not be sent" in caplog.text
