import pytest

from benchmarks.word_forms import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let me think. I first…", ["let", "me", "think", "i", "first"]),
        ("cold-hearted", ["cold", "hearted"]),
        ("'quoted' words", ["quoted", "words"]),
        ("our customers' app", ["our", "customers", "app"]),
        ("the customer's app", ["the", "customer's", "app"]),
        ("naïve café", ["naive", "cafe"]),
        ("p99 and 3.5x", ["p", "ninety", "nine", "and", "three", "point", "five", "x"]),
        ("", []),
        ("… — !", []),
    ],
)
def test_case_punctuation_hyphens_and_accents_do_not_count(text: str, expected: list[str]) -> None:
    assert expected == words(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10 seconds", "ten seconds"),
        ("the last 4 years", "the last four years"),
        ("in 2024", "in twenty twenty-four"),
        ("in 2024", "in two thousand and twenty-four"),
        ("3.5", "three point five"),
        ("50%", "fifty per cent"),
        ("10,000 lines", "ten thousand lines"),
        ("$2.5 million", "two point five million dollars"),
        ("at 10:30", "at ten thirty"),
        ("at 11:30", "at eleven thirty"),
        ("it's mine", "it is mine"),
        ("can't", "cannot"),
        ("I’d say they've won't", "I would say they have will not"),
        ("Let's go", "let us go"),
        ("Mr. Dashwood vs. Dr. Who", "mister dashwood versus doctor who"),
        ("the colour of their behaviour", "the color of their behavior"),
        ("we organised and prioritised", "we organized and prioritized"),
        ("analyse the travelled kilometres", "analyze the traveled kilometers"),
        ("a grey catalogue", "a gray catalog"),
        ("CI/CD and Node.js", "ci cd and node js"),
        ("the U.S. market", "the us market"),
        ("C++ & C#", "c plus plus and c sharp"),
    ],
)
def test_what_is_said_the_same_is_the_same(one: str, other: str) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ten", "tens"),
        ("forty", "fourteen"),
        ("we can", "we can't"),
        ("online", "on line"),
        ("a wise size", "a wize size"),
        ("the hour", "the hor"),
        ("customers", "customer's"),
        ("well um yes", "well yes"),
    ],
)
def test_what_is_said_differently_differs(one: str, other: str) -> None:
    assert words(one) != words(other)
