import re

from pipeline.traced_text import TracedText


def test_every_character_keeps_its_place_in_the_sentence() -> None:
    traced = TracedText("I paid $5 twice")
    traced.replace(re.compile(r"\$(\d)"), lambda match: f"{match[1]} dollars")
    traced.replace(re.compile("paid"), "spent")
    assert traced.text == "I spent 5 dollars twice"
    at = traced.text.index("dollars")
    assert (traced.starts[at], traced.ends[at + 6]) == (7, 9)
    assert traced.starts[traced.text.index("twice")] == 10


def test_a_kept_group_takes_the_marks_round_it_along() -> None:
    traced = TracedText("a **bold** b")
    traced.replace(re.compile(r"\*\*(\w+)\*\*"), lambda _: 1)
    assert traced.text == "a bold b"
    assert (traced.starts[2], traced.ends[5]) == (2, 10)


def test_a_rule_may_leave_a_match_as_it_is() -> None:
    traced = TracedText("a b")
    traced.replace(re.compile(r"\w"), lambda match: 0 if match[0] == "a" else "c")
    traced.replace(re.compile("x*"), "y")
    assert traced.text == "a c"
