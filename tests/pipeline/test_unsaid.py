"""What is left of a text when a voice breaks off."""

import pytest

from pipeline.frames import SpokenWord
from pipeline.unsaid import unsaid


@pytest.mark.parametrize(
    ("text", "spoken_s", "rest"),
    [
        ("Well, tell me more.", 0.0, "Well, tell me more."),
        ("Well, tell me more.", 0.5, "tell me more."),
        ("Well, tell me more.", 1.1, "more."),
        ("Well, tell me more.", 1.2, None),  # but the full stop
        ("请告诉我更多。", 0.5, "诉我更多。"),
        ("请告诉我更多。", 1.2, None),
        ("用Postgres吗？", 0.5, "Postgres吗？"),
        ("더 말해 주세요.", 0.5, "말해 주세요."),
        ("", 1.0, None),
    ],
)
def test_the_rest_begins_at_the_word_that_the_usual_pace_has_reached(
    text: str, spoken_s: float, rest: str | None
) -> None:
    at = unsaid(text, (), spoken_s)
    assert (None if at is None else text[at:]) == rest


@pytest.mark.parametrize(("spoken_s", "at"), [(0.15, 0), (0.25, 3), (0.45, 3), (0.55, None)])
def test_a_voice_that_tells_its_words_says_where_it_was(spoken_s: float, at: int | None) -> None:
    words = (SpokenWord(0, 2, 0), SpokenWord(3, 2, 200))
    assert unsaid("Go on.", words, spoken_s) == at
