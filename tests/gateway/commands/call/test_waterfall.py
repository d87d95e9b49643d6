from typing import Any

from rich.console import Console

from gateway.commands.call.waterfall import Row, draw, rows, verdict


def span(
    stage: str, start: float, first: float | None, end: float | None, provider: str = "p"
) -> dict[str, Any]:
    return {"stage": stage, "provider": provider, "start": start, "first": first, "end": end}


def metrics(*stages: dict[str, Any], heard_ms: float | None = 850.0) -> dict[str, Any]:
    return {
        "type": "turn.metrics",
        "turn": 3,
        "budget_ms": 1000,
        "stages": list(stages),
        "voice_to_voice_ms": heard_ms,
    }


def test_a_bar_is_light_until_the_first_result_and_dark_until_the_end() -> None:
    message = metrics(span("llm", 200.0, 400.0, 600.4, "scripted"))
    assert rows(message, width=10) == [Row("llm", "scripted", "  ░░██", "200", "400", "600")]


def test_the_rows_keep_the_order_of_the_message() -> None:
    message = metrics(span("endpointing", 0, None, 800), span("stt", 800, None, 900))
    assert [(row.stage, row.bar) for row in rows(message, width=10)] == [
        ("endpointing", "████████"),
        ("stt", "        █"),
    ]


def test_a_stage_too_short_to_be_seen_has_a_mark() -> None:
    message = metrics(span("llm", 812, 812, 812), span("tts", 1000, 1000, 1000))
    assert [row.bar for row in rows(message, width=10)] == ["        █", "         █"]


def test_synthesis_that_goes_on_while_the_reply_is_heard_ends_with_an_arrow() -> None:
    (row,) = rows(metrics(span("tts", 500, 600, 4000)), width=10)
    assert (row.bar, row.end) == ("     ░███▶", "4000")


def test_a_late_reply_widens_the_scale() -> None:
    (row,) = rows(metrics(span("stt", 0, 1000, 2000), heard_ms=2000), width=10)
    assert row.bar == "░░░░░█████"


def test_what_was_cut_off_has_no_end() -> None:
    begun, answering = rows(
        metrics(span("stt", 100, None, None), span("llm", 200, 500, None), heard_ms=None), width=10
    )
    assert (begun.bar, begun.first, begun.end) == (" █", "", "")
    assert (answering.bar, answering.end) == ("  ░░░", "")


def test_a_start_before_the_end_of_speech_is_drawn_from_there() -> None:
    (row,) = rows(metrics(span("stt", -3000, None, 500)), width=10)
    assert (row.bar, row.start) == ("█████", "-3000")


def test_the_verdict_compares_with_the_budget() -> None:
    assert verdict(metrics()) == "turn 3: voice to voice 850 ms, budget 1000 ms, 150 ms to spare"
    assert verdict(metrics(heard_ms=1200.4)) == (
        "turn 3: voice to voice 1200 ms, budget 1000 ms, 200 ms over"
    )
    assert verdict(metrics(heard_ms=None)) == "turn 3: no reply was heard, budget 1000 ms"


def test_the_drawing_fits_a_narrow_terminal_and_obeys_no_control_character() -> None:
    console = Console(width=72, color_system=None)
    message = metrics(
        span("endpointing", 0, None, 800, "silero"), span("tts", 1, 2, 3, "a\x1b[2Jb")
    )
    with console.capture() as capture:
        console.print(draw(message))
    lines = capture.get().splitlines()
    assert lines[1].split() == ["stage", "provider", "start", "first", "end"]
    assert lines[2].split() == ["endpointing", "silero", "█" * 19, "0", "800"]
    assert "\x1b" not in capture.get()
