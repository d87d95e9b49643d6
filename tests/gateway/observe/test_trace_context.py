"""Ids of traces and spans."""

import re

import pytest

from gateway.observe.trace_context import SessionTraces, SpanId, parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        (f"00-{TRACE}-{SPAN}-01", SpanId(TRACE, SPAN, True)),
        (f" 00-{TRACE}-{SPAN}-00 ", SpanId(TRACE, SPAN, False)),
        (f"01-{TRACE}-{SPAN}-03-more", SpanId(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
        ("x" * 60_000, None),
    ],
)
def test_a_header_names_a_span_or_is_ignored(text: str, span: SpanId | None) -> None:
    assert span == parse_traceparent(text)


def test_a_span_is_told_as_it_is_read() -> None:
    for sampled in (True, False):
        span = SpanId(TRACE, SPAN, sampled)
        assert span == parse_traceparent(span.traceparent)


def test_each_turn_has_a_trace_of_its_own_and_each_stage_a_span_in_it() -> None:
    traces = SessionTraces(b"secret")
    first, second, stage = traces.turn(1), traces.turn(2), traces.stage(1, "llm")
    assert first.trace_id != second.trace_id
    assert stage.trace_id == first.trace_id
    assert len({first.span_id, second.span_id, stage.span_id}) == 3
    assert stage == traces.stage(1, "llm")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", stage.traceparent)
    assert SessionTraces(b"another").turn(1) != first


@pytest.mark.parametrize("sampled", [True, False])
def test_the_turns_of_a_client_with_a_trace_are_in_it(sampled: bool) -> None:
    traces = SessionTraces(b"secret", SpanId(TRACE, SPAN, sampled))
    turn, stage = traces.turn(1), traces.stage(1, "llm")
    assert [(one.trace_id, one.sampled) for one in (turn, stage)] == [(TRACE, sampled)] * 2
    assert traces.turn(2).span_id != turn.span_id
