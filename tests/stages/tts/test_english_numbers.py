import pytest

from stages.tts import _english_numbers as numbers


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (1_234, "one thousand two hundred thirty-four"),
        (1_000_000, "one million"),
        (999_999_999_999_999, "nine hundred ninety-nine trillion nine hundred ninety-nine billion "
         "nine hundred ninety-nine million nine hundred ninety-nine thousand nine hundred "
         "ninety-nine"),
    ],
)  # fmt: skip
def test_cardinals(value: int, words: str) -> None:
    assert numbers.cardinal(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1, "first"),
        (2, "second"),
        (3, "third"),
        (12, "twelfth"),
        (20, "twentieth"),
        (23, "twenty-third"),
        (100, "one hundredth"),
        (1_001, "one thousand first"),
    ],
)
def test_ordinals(value: int, words: str) -> None:
    assert numbers.ordinal(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1066, "ten sixty-six"),
        (1500, "fifteen hundred"),
        (1905, "nineteen oh five"),
        (1999, "nineteen ninety-nine"),
        (2000, "two thousand"),
        (2003, "two thousand three"),
        (2024, "twenty twenty-four"),
    ],
)
def test_years(value: int, words: str) -> None:
    assert numbers.year(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(90, "nineties"), (1990, "nineteen nineties"), (2000, "two thousands"), (2010, "twenty tens")],
)
def test_decades(value: int, words: str) -> None:
    assert numbers.decade(value) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10,000", "ten thousand"),
        ("1_000", "one thousand"),
        ("0.5", "zero point five"),
        (".75", "point seven five"),
        ("3.", "three"),
        ("007", "zero zero seven"),
        ("٤٢", "forty-two"),
        ("1" * 16, " ".join(["one"] * 16)),
        ("9" * 5000, " ".join(["nine"] * 40)),
    ],
)
def test_numbers_as_they_are_written(text: str, words: str) -> None:
    assert numbers.number(text) == words
