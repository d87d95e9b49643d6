import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.interview.hearing import spoken
from stages.interview.wording import QUOTE, Wording

LONG = "and so it went on and on " * 6


@pytest.mark.parametrize(
    ("text", "pattern", "quote"),
    [
        ("First. I didn't stop at 1.4 seconds! Then?", "didnt", "I didn't stop at 1.4 seconds!"),
        ("no stops at all", "stops", "no stops at all"),
        ("“Quoted” words.", "quoted", "Quoted” words."),
    ],
)
def test_a_quote_is_the_sentence_round_it_as_it_was_written(
    text: str, pattern: str, quote: str
) -> None:
    wording = Wording(text)
    found = wording.find(re.compile(pattern))
    assert found is not None
    assert wording.quote(found) == quote


def test_of_a_long_sentence_the_nearest_words_are_quoted() -> None:
    wording = Wording(f"{LONG}until the cache broke {LONG}")
    found = wording.find(re.compile("cache broke"))
    assert found is not None
    quote = wording.quote(found)
    assert "until the cache broke and so" in quote
    assert quote.startswith("… ")
    assert quote.endswith(" …")
    assert len(quote) <= QUOTE + 4


@given(st.text(max_size=300))
def test_any_text_can_be_quoted_from(text: str) -> None:
    wording = Wording(text)
    assert wording.line == " ".join(wording.words)
    for found in re.finditer(r"\w+", wording.line):
        quote = wording.quote(found)
        assert quote.strip(' …“”"') in " ".join(text.split()) or not quote
    if text.isascii():
        assert wording.line == spoken(text)
