"""What says something, and what does not."""

import pytest

from pipeline.frames import Transcript, Word
from pipeline.wordless import has_words, worded


@pytest.mark.parametrize(
    "text",
    ["a", "7", "é", "Ж", "日本", "한", "नहीं", "שלום", "٣", "Ⅳ", "½", "... so?", "<b>"],
)
def test_a_letter_or_digit_of_any_script_is_a_word(text: str) -> None:
    assert has_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "{}[]<>",
        "\N{REPLACEMENT CHARACTER}" * 2,
        "♪♪ [?] ♪♪",
        "?!…",
        "\x00\x1b",
        "👍",
        "—",
    ],
)
def test_signs_alone_are_no_words(text: str) -> None:
    assert not has_words(text)


def test_a_transcript_of_signs_has_no_text() -> None:
    signs = Transcript(3, "♪♪ [?]", final=True, language="en", words=(Word("♪♪", 0, 100),))
    assert worded(signs) == Transcript(3, "", final=True, language="en")


@pytest.mark.parametrize("text", ["", "♪ so it was ♪"])
def test_any_other_transcript_stays_as_it_is(text: str) -> None:
    transcript = Transcript(3, text, final=False)
    assert worded(transcript) is transcript
