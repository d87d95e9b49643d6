"""What is heard of replies whose form is unusual: how they are typed, framed, coded and written."""

from typing import Any

import pytest

from pipeline.stage import Brief, Message, ReplyRequest
from stages.llm._turn_labels import OneTurn
from stages.llm.openai import OpenAIResponder
from tests.support.openai_peer import SHAPES

HISTORY = (Message("system", "You interview."), Message("user", "(begin)"))
REQUEST = ReplyRequest(4, "Because I can.", Brief((), "Ask: How?", HISTORY))
DUE = ReplyRequest(4, "So.", Brief(("Good.", "Why?"), "", HISTORY, due="Why?"))
THANKS = "Thank you. What did you measure?"


def ask(peer: Any, bench: Any, model: str, request: ReplyRequest = REQUEST) -> Any:
    responder = OpenAIResponder(peer.url, model)
    result = bench.guarded(
        "llm", responder, lambda stage: stage.reply(request), useful=lambda d: bool(d.text.strip())
    )
    return "".join(item.text for item in result.items), result.error


FAULTS = ("page", "error-", "refusal-", "halves", "controls", "other-side")


@pytest.mark.parametrize("model", [name for name in SHAPES if not name.startswith(FAULTS)])
def test_a_reply_is_heard_whatever_the_form_of_its_body(peer: Any, bench: Any, model: str) -> None:
    assert ask(peer, bench, model) == (THANKS, None)


@pytest.mark.parametrize(
    ("model", "text", "detail"),
    [
        ("page", "", "the server sent text/html where an event stream was asked for"),
        ("error-as-events", "", "where an event stream was asked for: no such model"),
        ("error-line", "Hello", "the server says: out of memory"),
        ("error-event", "Hello", "the server says: full"),
        ("error-detail", "Hello", "the server says: crashed"),
        ("brotli", "", "the server sent br that was not asked for"),
    ],
)
def test_an_error_in_place_of_a_reply_is_told_in_its_words(
    peer: Any, bench: Any, model: str, text: str, detail: str
) -> None:
    said, error = ask(peer, bench, model)
    assert said == text
    assert error.detail.endswith(detail)


def test_a_compressed_reply_is_heard(peer: Any, bench: Any) -> None:
    assert ask(peer, bench, "gzip") == ("Hello there.", None)


def test_a_refusal_that_is_a_part_of_the_content_asks_no_question(peer: Any, bench: Any) -> None:
    said, error = ask(peer, bench, "refusal-part", DUE)
    assert (said, error.reason) == ("", "refused to answer")


def test_half_a_character_joins_the_other_half_and_controls_are_dropped(
    peer: Any, bench: Any
) -> None:
    assert ask(peer, bench, "halves") == ("Well \N{GRINNING FACE}!", None)
    assert ask(peer, bench, "controls") == ("Well.", None)


def test_the_other_sides_turn_is_not_spoken_in_an_interview(peer: Any, bench: Any) -> None:
    assert ask(peer, bench, "other-side", DUE) == (f"{THANKS}\n\n", None)
    assert ask(peer, bench, "other-side")[0] == f"{THANKS}\n\nUser: I did.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Interviewer: Why?", "Why?"),
        ("**Interviewer:** Why?", "Why?"),
        ("### Assistant:\nWhy?", "\nWhy?"),
        ("Good.\nInterviewer: Why?\nCandidate: Because.", "Good.\nWhy?\n"),
        ("Why?\n\n**User**: Because.\nAssistant: Good.", "Why?\n\n"),
        ("Why?\n### Instruction:\nGo on", "Why?\n"),
        ("analysisWe should ask why.assistantfinalWhy?", "Why?"),
        ("assistantfinalWhy?", "Why?"),
        ("analysisWe should ask why.", ""),
        ("Analysis: it works. Users: two.", "Analysis: it works. Users: two."),
        ("Users: many.\nuser stories: few", "Users: many.\nuser stories: few"),
        ("The user: who is it?", "The user: who is it?"),
        ("analysis is half of it", "analysis is half of it"),
        ("Candidate: none", "Candidate: none"),
        ("A", "A"),
        ("\n** a", "\n** a"),
        ("", ""),
    ],
)
def test_labels_of_speakers_and_channels_are_not_spoken(text: str, said: str) -> None:
    for parts in ([text], list(text)):
        turn = OneTurn(only=True)
        assert "".join([*map(turn.push, parts), turn.finish()]) == said


def test_an_assistant_may_write_labels_within_its_reply() -> None:
    turn = OneTurn()
    text = "Two roles.\nUser: reads.\nAI: writes."
    assert turn.push(f"Assistant: {text}") + turn.finish() == text
