import re

from pipeline.draft import Draft


def test_every_character_keeps_its_place_in_the_sentence() -> None:
    draft = Draft("I paid $5 twice")
    draft.replace(re.compile(r"\$(\d)"), lambda match: f"{match[1]} dollars")
    draft.replace(re.compile("paid"), "spent")
    assert draft.text == "I spent 5 dollars twice"
    at = draft.text.index("dollars")
    assert (draft.starts[at], draft.ends[at + 6]) == (7, 9)
    assert draft.starts[draft.text.index("twice")] == 10


def test_a_kept_group_takes_the_marks_round_it_along() -> None:
    draft = Draft("a **bold** b")
    draft.replace(re.compile(r"\*\*(\w+)\*\*"), lambda _: 1)
    assert draft.text == "a bold b"
    assert (draft.starts[2], draft.ends[5]) == (2, 10)


def test_a_rule_may_leave_a_match_as_it_is() -> None:
    draft = Draft("a b")
    draft.replace(re.compile(r"\w"), lambda match: 0 if match[0] == "a" else "c")
    draft.replace(re.compile("x*"), "y")
    assert draft.text == "a c"
