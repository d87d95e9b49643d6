import pytest

from stages.llm._refusal import MOST_HELD, RefusalFilter


def filtered(*deltas: str) -> tuple[str, bool]:
    """What is said in all, and whether the reply was a refusal."""
    refusals = RefusalFilter()
    said = "".join(refusals.push(delta) for delta in deltas)
    held, refused = refusals.finish()
    return said + held, refused


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, I can’t help with that request. Please try another topic.",
        "I cannot continue this conversation.",
        "As an AI, I am not able to discuss this.",
        "Unfortunately, I'm unable to provide that.",
    ],
)
def test_a_refusal_is_not_said(text: str) -> None:
    assert filtered(text) == filtered(*text) == ("", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I",
        "Great. Why Postgres?",
        "I'm sorry to hear that. What did you do next?",
        "I can't wait to hear more. Tell me about it.",
        "Sorry about that. Let us go on: why?",
        "I'm sorry, but I can't answer that. Why did you choose Postgres?",
        "Unfortunately, our time is up. Thank you.",
        "I'm sorry, I can't help you there " + "and so on " * (MOST_HELD // 10),
    ],
)
def test_what_only_begins_like_a_refusal_is_said(text: str) -> None:
    assert filtered(text) == filtered(*text) == (text, False)


def test_a_reply_that_does_not_begin_like_a_refusal_is_not_held_back() -> None:
    refusals = RefusalFilter()
    assert [refusals.push(delta) for delta in ("Th", "anks", ".")] == ["Th", "anks", "."]
