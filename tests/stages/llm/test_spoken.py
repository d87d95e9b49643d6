import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.llm._spoken import LIMIT, SpokenText


def spoken(*deltas: str) -> str:
    text = SpokenText()
    return "".join(text.push(delta) for delta in deltas) + text.finish()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**Great!** Use `map`.", "Great! Use map."),
        ("# Heading\n\n* one\n* two", "Heading\n\n one\n two"),
        ("C# and F#, issue #12", "C# and F#, issue 12"),
        ("<think>Hm, what?</think>\n\nTell me more.", "Tell me more."),
        ("\n <think>Hm.</think>Go on.", "Go on."),
        ("<think>without end", ""),
        ("<thinking> is a tag", "<thinking> is a tag"),
        ("a < b <think>", "a < b <think>"),
        ("<", "<"),
        ("", ""),
    ],
)
def test_markup_and_reasoning_are_not_spoken(text: str, said: str) -> None:
    assert spoken(text) == said
    assert spoken(*text) == said


@given(st.lists(st.sampled_from(["<think>", "</think>", "<th", "ink>", "*", "#", "C", " ", "a."])))
def test_what_is_spoken_does_not_depend_on_how_the_text_was_cut(parts: list[str]) -> None:
    assert spoken("".join(parts)) == spoken(*parts) == spoken(*"".join(parts))


@pytest.mark.parametrize(
    ("unit", "length"),
    [("Nine char. ", LIMIT + 6), ("。好", LIMIT + 1), ("word ", LIMIT + 504), ("x", LIMIT + 1000)],
)
def test_a_reply_without_end_ends_at_the_best_place_there_is(unit: str, length: int) -> None:
    text = SpokenText()
    said = text.push(unit * 3000)
    assert text.full
    assert text.push(unit) == ""
    assert len(said) == length
    assert said == (unit * 3000)[:length]


def test_a_reply_below_the_limit_is_left_alone() -> None:
    text = SpokenText()
    assert len(text.push("word. " * (LIMIT // 6))) == LIMIT
    assert not text.full
